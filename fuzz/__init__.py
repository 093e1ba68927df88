"""Coverage-guided fuzzing of the CNI border: what a runtime, or anybody on the sockets, may send.

A target is a module with `opened()`, which gives the law that every input must keep (it raises `Violation`, or
whatever the code under test should not raise), and `mutate()`, which makes new inputs of old ones. Targets need only
Weft itself; atheris and clang are for `make fuzz`, and the tests run the kept inputs (`fuzz/corpus`) through the same
laws.
"""
