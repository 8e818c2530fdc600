"""Register lists as CSV: a meter by hand, what spreadsheets make of a file, every mistake with line and column."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinloop.devices.model.device import Device
from twinloop.devices.model.points import Point
from twinloop.scenarios.learning.beginning import Begun, begin
from twinloop.scenarios.learning.register_list import read_rows
from twinloop.scenarios.text.errors import ScenarioError

METER = """\
name,register,type,order,unit,scale,value,low,high,access,nan,length,text,bits
serial,40001,text,,,,,,,R,,8,EM-38-0007,
U L1,40009,uint16,,V,0.1,230.1,0,300,R,0xFFFF,,,
U L2,40010,uint16,,V,0.1,231.2,0,300,R,0xFFFF,,,
U L3,40011,uint16,,V,0.1,229.8,0,300,R,0xFFFF,,,
I L1,40012,f32,CDAB,A,,4.5,,,R,,,,
I L2,40014,f32,CDAB,A,,5.25,,,R,,,,
I L3,40016,f32,CDAB,A,,-1.5,,,R,,,,
P,40018,int32,,W,,-2500,,,R,0x80000000,,,
Q,40020,i16,,var,10,-120,,,R,0x8000 0x7FFF,,,
PF,40021,i16,,,1/1000,0.985,,,R,,,,
f,40022,u16,,Hz,0.01,50.02,,,R,,,,
E in,40023,u64,,Wh,,9007199254740993,,,R,,,,
E out,40027,bcd32,,kWh,0.1,1234.5,,,R,,,,
T,40029,f16,,degC,,21.5,,,R,,,,
P mean,40030,f64,,W,,1e3,,,R,,,,
status,40034,u16,,,,5,,,R,,,,
relay,40035,u16,,,,1,,,RW,,,,3
limit,40036,u16,,W,10,4600,,,RW,,,,
E total,40037,u32,DCBA,Wh,,258,,,R,,,,
door,10004,,,,,1,,,,,,,
"""


def read(folder: Path, text: str | bytes, addresses_from: int | None = None) -> Begun:
    file = folder / "map.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return begin("m", str(file), addresses_from)


def holding(begun: Begun, first: int, count: int) -> list[int]:
    device = Device(begun.model, "m/1", 1, 7)
    device.advance(0)
    words = device.image.read_words("holding", first, count)
    assert words is not None
    return words


def test_a_meter_of_38_registers(tmp_path: Path) -> None:
    """Each register by hand: IEEE 754, two's complement, and the order of the row."""
    begun = read(tmp_path, METER)
    assert holding(begun, 0, 38) == [
        *(0x454D, 0x2D33, 0x382D, 0x3030, 0x3037, 0, 0, 0),  # EM-38-0007
        *(2301, 2312, 2298),
        *(0x0000, 0x4090, 0x0000, 0x40A8, 0x0000, 0xBFC0),  # 4.5, 5.25, -1.5, lower half first
        *(0xFFFF, 0xF63C),  # -2500
        0x10000 - 12,
        985,
        5002,
        *(0x0020, 0x0000, 0x0000, 0x0001),  # 2^53 + 1
        *(0x0001, 0x2345),
        0x4D60,  # 21.5 = 1.34375 * 2^4
        *(0x408F, 0x4000, 0, 0),  # 1000.0
        5,
        1 << 3,
        460,
        *(0x0201, 0x0000),  # 258 = 0x00000102, all bytes reversed
    ]
    points = {point.name: point for point in begun.model.points}
    assert len(points) == 20
    assert points["door"].table == "discrete"
    assert points["door"].address == 3
    assert points["Q"].nan == (0x8000, 0x7FFF)
    assert (points["U-L1"].low, points["U-L1"].high) == (0, 300)
    assert [name for name, point in points.items() if point.writable] == ["relay", "limit"]
    assert (
        begun.notes[0]
        == f'{tmp_path / "map.csv"}:3: "U L1" is called U-L1: letters, digits, ".", "-" and "_"'
    )


@pytest.mark.parametrize(
    "data",
    [
        METER.encode("utf-8-sig"),
        METER.replace("\n", "\r\n").encode(),
        METER.replace("U L1", '"U L1"').encode(),
        METER.replace(",", "\t").encode("utf-16"),
        METER.replace(",", ";").replace(".", ",").encode(),
        METER.replace("status", "# checked on site\n\n,,,\nstatus").encode(),
        METER.replace("name,register", "NAME , Register").encode(),
        METER.replace("40009", "400009").encode(),
    ],
    ids=["bom", "crlf", "quoted", "utf-16", "decimal comma", "comments", "case", "six digits"],
)
def test_what_spreadsheets_make_of_it(data: bytes, tmp_path: Path) -> None:
    def points(begun: Begun) -> list[Point]:
        return list(begun.model.points)

    assert points(read(tmp_path, data)) == points(read(tmp_path, METER))


def test_addresses(tmp_path: Path) -> None:
    text = "address;table;type\n0x10;input;\n300h;holding register;float\n7;coil;\n"
    points = read(tmp_path, text).model.points
    assert [(one.name, one.table, one.address, one.type) for one in points] == [
        ("input-16", "input", 16, "u16"),
        ("holding-768", "holding", 768, "f32"),
        ("coil-7", "coil", 7, "u16"),
    ]
    assert [one.address for one in read(tmp_path, text, 1).model.points] == [15, 767, 6]


HEAD = "name,address,register,table,type,length,bits,order,scale,access,nan,value,text\n"
MISTAKES = {
    "addres,type\n1,u16\n": '1: unknown column "addres"; did you mean "address"?',
    "address,address\n1,2\n": '1: column "address" is there twice',
    "name,type\na,u16\n": '1: expected a column "address" or "register": where a point lies',
    "address\n": "no points: expected a line of column names, then a line a point",
    HEAD + "a,1x,,,,,,,,,,,\n": "2: column address: expected a whole number, such as 768, 0x300 or 300h, got \"1x\"",
    HEAD + "a,65536,,,,,,,,,,,\n": '2: column address: expected an address from 0 to 65535, got "65536"',
    HEAD + "a,,4001,,,,,,,,,,\n": "2: column register: expected a reference number of 5 or 6 digits",
    HEAD + "a,,40000,,,,,,,,,,\n": "2: column register: expected a reference number from 1 to 65536",
    HEAD + "a,,,,u16,,,,,,,,\n": "2: column address: empty: where does the point lie?",
    HEAD + "a,5,40007,,,,,,,,,,\n": "2: column address: 5, and the reference number is address 6",
    HEAD + "a,,40007,input,,,,,,,,,\n": "2: column table: input, and the reference number is one of holding",
    HEAD + "a,1,,holdin,,,,,,,,,\n": '2: column table: unknown table "holdin"; did you mean "holding"?',
    HEAD + "a,1,,,u17,,,,,,,,\n": '2: column type: unknown type "u17"; did you mean "u16"?',
    HEAD + "a,1,,coil,f32,,,,,,,,\n": "2: column type: f32, and a coil is one bit: leave it empty",
    HEAD + "a,1,,,text,0,,,,,,,\n": "2: column length: expected the registers of a text, 1 or more",
    HEAD + "a,1,,,text,,,,,,,,hi\n": '2: a: a text needs a "length"',
    HEAD + "a,1,,,u16,,x,,,,,,\n": "2: column bits: expected a bit or bits, such as 3 or 0..3",
    HEAD + "a,1,,,u16,,12..16,,,,,,\n": "2: a: bits 12 to 16: u16 has the bits 0 to 15",
    HEAD + "a,1,,,u32,,,ABDC,,,,,\n": '2: column order: unknown order "ABDC"; did you mean "BADC"?',
    HEAD + "a,1,,,u16,,,,x,,,,\n": '2: column scale: expected a number, such as "0.1", got "x"',
    HEAD + "a,1,,,u16,,,,0,,,,\n": "2: a: scale 0.0 and offset 0.0: finite numbers, and scale not 0",
    HEAD + "a,1,,,u16,,,,,X,,,\n": '2: column access: unknown access "X"',
    HEAD + "a,1,,,u16,,,,,,0xG,,\n": "2: column nan: expected a whole number",
    HEAD + "a,1,,,u16,,,,,,0x1FFFF,,\n": "2: a: sentinel 0x1ffff",
    HEAD + "a,1,,,text,4,,,,,,5,\n": '2: column value: a text has no value: what it says goes into the column "text"',
    HEAD + "a,1,,,u16,,,,,,,,hi\n": '2: column text: "text" goes with type: text only, this is u16',
    HEAD + "a,1,,,u16,,,,,,,\"1,5\",\n": '2: column value: expected a number, such as "0.1", got "1,5"',
    HEAD + "a,1,,,u16,,,,,,,1,,9\n": "2: 14 cells, and 13 columns have a name; a comma separates cells",
    HEAD + "a,1,,,,,,,,,,,\n\na,2,,,,,,,,,,,\n": '4: column name: "a" is the name of the point in line 2, too',
    HEAD + "a,1,,,u32,,,,,,,1,\nb,2,,,,,,,,,,1,\n": "3: device model m: a and b both lie at holding 2",
    HEAD + '"a\nb",1,,,,,,,,,,,\nc,zz,,,,,,,,,,,\n': "4: column address: expected a whole number",
    HEAD + 'a,1,,,"u16,,,,,,,,\n': "no CSV:",
}  # fmt: skip


@pytest.mark.parametrize("text", list(MISTAKES))
def test_a_mistake_has_its_line_and_column(text: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(tmp_path, text)
    told = str(caught.value).removeprefix(f"{tmp_path / 'map.csv'}:").lstrip()
    assert told.removeprefix("2: " if MISTAKES[text].startswith("no CSV") else "").startswith(
        MISTAKES[text]
    ), told


def test_what_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match='not UTF-8 at byte 8: save it as "CSV UTF-8"'):
        read(tmp_path, b"address\n\xe4,1\n")


NAMES = st.text("abcdefgh-.0123456789", min_size=1, max_size=8).filter(lambda text: text == text.strip("-."))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": NAMES,
            "table": st.sampled_from(["holding", "input"]),
            "type": st.sampled_from(["u16", "i16", "u32", "f32", "f64"]),
            "scale": st.sampled_from(["", "0.1", "10", "2.5"]),
            "unit": st.sampled_from(["", "V", "kWh", "a;b", 'x"y', "m/s, mean"]),
            "value": st.integers(0, 1000),
        }
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row["name"],
)


@given(ROWS, st.sampled_from([",", ";", "\t"]), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_every_row_is_its_point(rows: list[dict[str, Any]], separator: str, by_hex: bool, end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(
        out,
        ["unit", "address", *(key for key in rows[0] if key != "unit")],
        delimiter=separator,
        lineterminator=end,
    )
    writer.writeheader()
    for i, row in enumerate(rows):
        scale = row["scale"].replace(".", ",") if separator == ";" else row["scale"]
        writer.writerow(row | {"address": hex(4 * i) if by_hex else 4 * i, "scale": scale})
    found = read_rows(out.getvalue(), Path("map.csv"))
    assert list(found.points) == [row["name"] for row in rows]
    for i, row in enumerate(rows):
        point = found.points[row["name"]]
        assert (point["address"], point["table"], point["type"]) == (4 * i, row["table"], row["type"])
        assert point.get("scale", 1.0) == float(row["scale"] or 1)
        assert point.get("unit", "") == row["unit"]
        assert point["signal"] == {"level": row["value"]}
        assert found.lines[row["name"]] == i + 2
