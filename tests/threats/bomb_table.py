"""What each bomb costs on each path, in MiB over what was there before: `python -m tests.threats.bomb_table`."""

from __future__ import annotations

from tests.threats.bombs import BOMBS, bomb
from tests.threats.paths import PATHS, Measure, measuring, opens


def main() -> None:
    with measuring() as measure:
        show(measure)


def show(measure: Measure) -> None:
    print("| bomb | bytes | " + " | ".join(PATHS) + " |")
    print("|---|---|" + "---|" * len(PATHS))
    for name, (codec, _) in BOMBS.items():
        cells = []
        for kind in PATHS:
            code, cost_mib = measure(kind, codec, bomb(name), 1) if opens(kind, codec) else ("", -1.0)
            cells.append(f"{code} {cost_mib:.1f}" if cost_mib >= 0 else "-")
        print(f"| {name} | {len(bomb(name)):,} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
