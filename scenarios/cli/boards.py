"""``twinloop boards``: every board with its figures, their sources and bands."""

from __future__ import annotations


def boards() -> int:
    """Print the boards: what a unit of fuel, a call and a value cost there, with source and band."""
    from twinloop.scenarios.text.units import show_number
    from twinloop.sim.model.boards import BOARDS, instances_that_fit  # --help must stay quick

    print("modelled figures, none calibrated on a board; x/÷ is the band of 90 % of cases\n")
    for board in BOARDS.values():
        print(f"{board.name}: {board.title}; {board.runtime}")
        print(
            f"  {instances_that_fit(board)} default instances fit ({board.va_bits} bits of addresses: "
            f"{board.va_source})"
        )
        rows = [
            ("fuel, not metered", board.fuel_ps, 1000, "ns"),
            ("fuel, metered", board.metered_fuel_ps, 1000, "ns"),
            ("component call", board.call_ps, 10**6, "us"),
            ("import", board.import_ps, 10**6, "us"),
            ("lifted value", board.value_ps, 1000, "ns"),
            ("instantiate", board.instantiate_ns, 1000, "us"),
            ("flash, steadily", board.flash_bytes_per_s, 10**6, "MB/s"),
            *((f"host: {name}", figure, 1000, "us") for name, figure in board.host_ns.items()),
        ]
        for name, figure, scale, unit in rows:
            shown = show_number(figure.value / scale, 4)
            print(f"  {name:<18} {shown:>9} {unit}  x/÷ {figure.band:<4g} {figure.source}")
        print()
    return 0
