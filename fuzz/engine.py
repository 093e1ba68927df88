"""The process in which atheris fuzzes: `python -m fuzz.engine TARGET [OPTION OF LIBFUZZER...] [DIRECTORY...]`."""

import sys
from hashlib import sha1
from pathlib import Path
from random import Random

import atheris

INSTRUMENTED = ["cni", "node_agent.server", "node_agent.verbs", "node_agent.attach", "node_agent.failures"]
"""Where coverage is counted. Nothing of it may be imported before `main` does."""


def main(name: str, options: list[str]) -> None:
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.targets import BUILD, target

        fuzzed = target(name)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        def plain(part: bytes) -> bytes:
            return bytes(atheris.Mutate(part, max(1, max_size - len(data) + len(part))))

        made = fuzzed.mutate(data, Random(seed), plain)
        return made if len(made) <= max_size else bytes(atheris.Mutate(data, max_size))

    with fuzzed.opened() as check:

        def run(data: bytes) -> None:
            try:
                check(data)
            except Exception:
                _save(data, BUILD / f"{name}-crash-{sha1(data).hexdigest()}")
                raise

        atheris.Setup([_again(name), *options], run, custom_mutator=mutate)
        atheris.Fuzz()


def _save(data: bytes, path: Path) -> None:
    """As libFuzzer does, but for certain: it does not when the process ends in its own way."""
    path.write_bytes(data)
    print(f"Test unit written to {path}", file=sys.stderr, flush=True)


def _again(name: str) -> str:
    """The program's name, which is a command: to merge, libFuzzer starts it again, through a shell."""
    return f"{sys.executable} -m fuzz.engine {name}"


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
