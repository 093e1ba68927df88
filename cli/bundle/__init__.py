"""Everything that helps to find out what is wrong with a network, in one archive, without its secrets."""
