"""Makes gen/ from Parley's contracts and nothing else.

    python generate.py [FOLDER OF THE CONTRACTS] [FOLDER OF THE OUTPUT]
"""

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

HERE = Path(__file__).parent


def main(contracts: Path, output: Path) -> int:
    output.mkdir(parents=True, exist_ok=True)
    files = sorted(str(file) for file in (contracts / "parley").rglob("*.proto"))
    return protoc.main(
        [
            "protoc",
            f"--proto_path={contracts}",
            # Google's own types, such as Timestamp.
            f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
            f"--python_out={output}",
            f"--pyi_out={output}",
            f"--grpc_python_out={output}",
            *files,
        ]
    )


if __name__ == "__main__":
    given = [Path(argument) for argument in sys.argv[1:]]
    defaults = [HERE / "../../proto", HERE / "gen"]
    sys.exit(main(*(given + defaults[len(given) :])))
