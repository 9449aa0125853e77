from __future__ import annotations

import csv
import datetime
import gzip
import hashlib
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from precisionpain.cohort import Column
from precisionpain.cohort.clinical import read_clinical_table
from precisionpain.errors import AlignmentError, FormatError, PrecisionPainError


@pytest.fixture
def save(tmp_path):
    """Write text or bytes to a file and return its path."""

    def write(content, name="t.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


@pytest.fixture
def save_excel(tmp_path):
    """Write rows to the sheets of a workbook with openpyxl and return its path."""
    import openpyxl

    def write(**sheets):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for title, rows in sheets.items():
            sheet = book.create_sheet(title)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    return write


def fails(path, *args, error=FormatError, **kwargs):
    with pytest.raises(error) as caught:
        read_clinical_table(path, *args, **kwargs)
    return str(caught.value)


def steps(frame):
    return {(e["step"], e["column"]): e["n"] for e in frame.attrs["provenance"]}


def one_column(save, cells, column, **options):
    """Read a table with the column x; cells hold no tab."""
    rows = "".join(f"s{i}\t{cell}\n" for i, cell in enumerate(cells))
    return read_clinical_table(save("id\tx\n" + rows, "t.tsv"), {"x": column}, **options)["x"]


# What a reader survives ------------------------------------------------------------------


def test_plain_table(save):
    path = save("participant_id,age,pain\nsub-01,61,7.5\nsub-02,40,0\n")
    frame = read_clinical_table(path)
    expected = pd.DataFrame(
        {"age": pd.array([61, 40], dtype="Int64"), "pain": [7.5, 0.0]},
        index=pd.Index(["sub-01", "sub-02"], name="subject_id"),
    )
    pd.testing.assert_frame_equal(frame, expected)
    assert frame.attrs["columns"] == {"age": {"kind": "integer"}, "pain": {"kind": "number"}}
    first = frame.attrs["provenance"][0]
    assert (first["step"], first["table"], first["n"]) == ("file read", "t.csv", 2)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in first["detail"]
    assert "2 rows, 3 columns" in first["detail"]
    assert str(path.parent) not in json.dumps(frame.attrs)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_line_ends_and_encodings(save, end, encoding):
    text = end.join(["id;Größe;Боль", "s1;171;да", "s2;180;нет", ""])
    data = text.encode(encoding)
    if encoding == "utf-16-le":
        data = b"\xff\xfe" + data
    frame = read_clinical_table(save(data))
    assert frame["Größe"].tolist() == [171, 180]
    assert frame["Боль"].tolist() == ["да", "нет"]


def test_other_encodings_must_be_named(save):
    path = save("id;боль\ns1;да\n", encoding="cp1251")
    text = fails(path)
    assert "t.csv, line 1: the byte 0xe1 at offset 3 is not utf-8" in text
    assert "encoding='cp1251'" in text
    assert read_clinical_table(path, encoding="cp1251")["боль"].tolist() == ["да"]
    assert "no text encoding is called 'cp9999'" in fails(path, encoding="cp9999")
    later = save(b"id,x\r\ns1,a\r\ns2,\xff\r\n")
    assert "line 3: the byte 0xff at offset 15" in fails(later)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_found_from_the_records_too(save, delimiter):
    # Every other delimiter stands in the header or in a record.
    others = [d for d in ",;\t|" if d != delimiter]
    header = delimiter.join(["id", "x (" + others[0] + " or so)", "y"])
    record = delimiter.join(["s1", "a" + others[1] + "b", "c" + others[2] + "d"])
    frame = read_clinical_table(save(header + "\n" + record + "\n"))
    assert frame.iloc[0].tolist() == ["a" + others[1] + "b", "c" + others[2] + "d"]


def test_header_with_decimal_comma_in_a_semicolon_file(save):
    path = save("nr;NRS (0,5 steps)\n1;2,5\n2;3,5\n")
    frame = read_clinical_table(path, id_column="nr")
    assert frame["NRS (0,5 steps)"].tolist() == [2.5, 3.5]


def test_delimiter_that_could_be_two(save):
    path = save("a,b;c\n1,2;3\n")
    assert "the delimiter may be comma or semicolon" in fails(path)
    assert read_clinical_table(path, id_column="a", delimiter=",")["b;c"].tolist() == ["2;3"]
    assert "a delimiter is one character, found ';;'" in fails(path, delimiter=";;")


def test_blank_lines_anywhere_are_counted(save):
    path = save("\n , \nid,x\n\ns1,1\n,,\n \t\ns2,2\n\n\n")
    # Quotes and a wrong cell at the end show that lines are still those of the file.
    frame = read_clinical_table(path, delimiter=",")
    assert frame["x"].tolist() == [1, 2]
    assert steps(frame)["blank lines skipped", None] == 7
    path = save("\n\nid,x,y\n\ns1,1,a\n\ns2,2\n")
    assert "line 7: expected 3 fields, found 2" in fails(path)


def test_quoted_newlines_keep_the_lines_of_the_file(save):
    path = save('id,note,x\ns1,"a\nb\r\nc ""d""",1\ns2,e,zwei\ns3,f,3\ns4,g,4\ns5,h,5\n')
    assert "line 5, column 'x' (subject s2): expected a number, found 'zwei'" in fails(path)
    frame = read_clinical_table(path, {"note": {"kind": "text"}}, unlisted="drop")
    assert frame["note"].iloc[0] == 'a\nb\r\nc "d"'


def test_stray_spaces_everywhere(save):
    text = "id ,\u00a0side ,  x\n s1, L\u00a0, 1 \ns2\u00a0,R,2\n\u200bs3,upper\u00a0jaw,\u202f3\n"
    frame = read_clinical_table(save(text))
    assert frame.index.tolist() == ["s1", "s2", "s3"]
    assert frame.columns.tolist() == ["side", "x"]
    assert frame["side"].tolist() == ["L", "R", "upper jaw"]
    assert frame["x"].tolist() == [1, 2, 3]
    done = steps(frame)
    assert done["headers stripped", None] == 3
    assert done["spaces stripped", "id"] == 3
    assert done["spaces stripped", "side"] == 2
    assert done["spaces stripped", "x"] == 2


def test_spaces_before_a_quoted_cell(save):
    frame = read_clinical_table(save('id, x, y\ns1, "a, b", c\n'), {"x": {"kind": "text"}})
    assert frame.iloc[0].tolist() == ["a, b", "c"]
    # Two in the header, two between cells, one inside the quotes.
    assert steps(frame)["spaces after delimiters skipped", None] == 5


def test_empty_unnamed_columns_are_dropped_and_counted(save):
    frame = read_clinical_table(save("id,,x,,\ns1,,1,,\ns2, ,2,,\n"))
    assert frame.columns.tolist() == ["x"]
    assert steps(frame)["empty columns dropped", None] == 3
    # The delimiters may also end the header alone, or the records alone.
    frame = read_clinical_table(save("id,x,,\ns1,1\ns2,2\n"))
    assert steps(frame)["empty columns dropped", None] == 2
    frame = read_clinical_table(save("id,x\ns1,1,\ns2,2,\n"))
    assert steps(frame)["empty columns dropped", None] == 1
    assert frame["x"].tolist() == [1, 2]


def test_unnamed_column_with_values(save):
    text = fails(save("id,,x\ns1,,1\ns2,seven,2\n"))
    assert "t.csv, line 3: column 2 has no header, but holds 'seven'" in text


def test_named_columns_without_values(save):
    path = save("id,x,y\ns1,,1\ns2,NA,2\n")
    frame = read_clinical_table(path)
    assert frame.columns.tolist() == ["y"]
    assert frame.attrs["columns"]["x"] == {"source": "x", "role": "unused", "reason": "no values"}
    frame = read_clinical_table(path, {"x": None})
    assert frame["x"].isna().all()
    assert steps(frame)["column without values", "x"] == 1


def test_gzip_and_its_damage(save):
    packed = gzip.compress(b"id,x\n" + b"".join(b"s%d,%d\n" % (i, i * 7919) for i in range(999)))
    assert len(read_clinical_table(save(packed, "t.csv.gz"))) == 999
    text = fails(save(packed[: len(packed) // 2], "t.csv.gz"))
    assert "t.csv.gz: the gzip file is cut off or damaged" in text
    assert "copy or download it again" in text
    broken = bytearray(packed)
    broken[-6] ^= 255
    assert "cut off or damaged" in fails(save(bytes(broken), "t.csv.gz"))


# What a file must not be -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("", "t.csv", "the file is empty"),
        (" \n,,\n", "t.csv", "the file holds nothing but blank lines"),
        ("id,x\n\n", "t.csv", "there is a header, but no row of data"),
        ("id,x\ns1,a\x00b\n", "t.csv", "line 2: a NUL character at offset 9"),
        ("id,x\ns1,1\n".encode("utf-16-le"), "t.csv", "encoding='utf-16-le'"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "t.xls", "an old (.xls) or encrypted Excel file"),
        (b"%PDF-1.7", "t.pdf", "expected a table, found a PDF"),
        ("id,x\ns1,1\n", "t.xlsx", "the name ends in .xlsx, but the content is something else"),
        (b"PK\x03\x04rubbish", "t.xlsx", "damaged or not an Excel workbook"),
        (b"PAR1rubbish", "t.parquet", "damaged or not Parquet"),
    ],
)
def test_files_that_are_no_tables(save, content, name, said):
    text = fails(save(content, name))
    assert text.startswith(name)
    assert said in text
    assert "To fix: " in text


def test_paths_that_are_no_files(tmp_path, save):
    assert f"{tmp_path}: expected a file, found a directory" in fails(tmp_path)
    save("id,x\n", "participants.tsv")
    text = fails(tmp_path / "participant.tsv")
    assert "there is no such file" in text
    assert "did you mean 'participants.tsv'?" in text
    assert "check the path" in fails(tmp_path / "absent" / "t.csv")


def test_files_that_may_not_be_read(save, monkeypatch):
    path = save("id,x\ns1,1\n")

    def refuse(_self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refuse)
    assert "the file can't be opened (Permission denied)" in fails(path)


def test_zip_archives_are_no_workbooks(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.csv", "id,x\ns1,1\n")
    assert "not an Excel workbook" in fails(tmp_path / "t.zip")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        # The quote opens on line 4, in a record that starts on line 3.
        ('id,n,x\ns1,a,1\ns2,"b\nc","d,2\ns3,e,3\n', "line 4: the quote that opens on this line"),
        ('id,n\ns1,"a\n', "line 2: the quote that opens on this line is not closed by line 2"),
        ('id,n\ns1,"a" b\n', "line 2: text follows a closing quote"),
        ('id,n\ns1,"' + "long " * 40000 + "\ns2,b\n", "line 2: the quote that opens"),
    ],
)
def test_broken_quotes(save, content, said):
    assert said in fails(save(content))


def test_a_quote_inside_a_cell_is_only_a_sign(save):
    frame = read_clinical_table(save('id,n,m\ns1,5" tall,x\ns2,6",y\n'))
    assert frame["n"].tolist() == ['5" tall', '6"']


def test_records_of_wrong_length(save):
    rows = "".join(f"s{i},1\n" for i in range(9))
    text = fails(save("id,x,y\ns,1,2\n" + rows))
    assert "t.csv, line 3: expected 3 fields, found 2; likewise the records on the lines" in text
    assert "4, 5, 6, 7, 8 and 3 more. To fix: complete the record, or pass short_rows='pad'" in text
    text = fails(save("id,x\ns1,1\ns2,2,3\n"), short_rows="pad")
    assert "line 3: expected 2 fields, found 3. To fix: quote cells" in text
    text = fails(save('id,x\ns1,1\ns2,"a\nb",3\n'))
    assert "line 3: expected 2 fields, found 3 (the record runs to line 4" in text
    assert "one field fewer than all records" in fails(save("id,x\n1,s1,1\n2,s2,2\n"))
    assert "check that the first line is the header" in fails(save("A title\nid,x\ns1,1\n"))


def test_a_single_longer_record_is_never_cut(save):
    # Blank or not, the extra field may come from an unquoted comma that shifts the rest.
    assert "line 2: expected 3 fields, found 4" in fails(save("id,x,y\ns1,a,b,\ns2,a,b\n"))


def test_short_records_may_be_padded(save):
    frame = read_clinical_table(save("id,x,y\ns1,1\ns2,2,3\n"), short_rows="pad")
    assert frame["y"].tolist() == [pd.NA, 3]
    assert steps(frame)["short rows padded", None] == 1


def test_duplicate_headers(save):
    text = fails(save("id,age,x,age \ns1,1,2,3\n"))
    assert "t.csv, line 1: the columns 2 and 4 are both called 'age'" in text


def test_headers_that_the_file_lacks(save):
    path = save("id,Age (years),Side\ns1,1,L\n")
    text = fails(path, {"age": "age (year)", "other": "weight"})
    assert "the file has no column 'age (year)', 'weight'" in text
    assert "'age (year)' resembles 'Age (years)'" in text
    assert "the file has 'id', 'Age (years)', 'Side'" in text
    assert "no column 'nr'" in fails(path, id_column="nr")
    assert "no column 'time'" in fails(path, visit_column="time")


@pytest.mark.parametrize("option", ["unlisted", "short_rows", "decimal"])
def test_options_of_no_meaning(save, option):
    assert f"{option} is one of" in fails(save("id,x\ns1,1\n"), **{option: "perhaps"})


# Round trip ------------------------------------------------------------------------------

# Text of the kind that breaks naive readers; NUL, lone surrogates and missing codes apart.
awkward = st.text(alphabet=" \u00a0abzÄяX019.,;|\t\n\r\"'#=%-/\\", max_size=8).filter(
    lambda text: text.replace("\u00a0", " ").strip().lower() not in ("", "na", ".", "-")
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(awkward | st.none(), awkward), min_size=1, max_size=6),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    blanks=st.lists(st.integers(0, 6), max_size=4),
)
def test_round_trip(tmp_path, rows, delimiter, quoting, encoding, blanks):
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding=encoding) as handle:
        writer = csv.writer(handle, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
        writer.writerow(["id", "first", "second"])
        for i, row in enumerate(rows):
            handle.write("\r\n" * blanks.count(i))
            writer.writerow([f"s{i}", *("" if cell is None else cell for cell in row)])
    text = {"kind": "text"}
    frame = read_clinical_table(path, {"first": text, "second": text})
    assert frame.index.tolist() == [f"s{i}" for i in range(len(rows))]
    for name, cells in zip(frame, zip(*rows, strict=True), strict=True):
        plain = [None if c is None else c.replace("\u00a0", " ").strip() for c in cells]
        assert [None if v != v else v for v in frame[name]] == plain
    counted = sum(i < len(rows) for i in blanks)
    assert steps(frame).get(("blank lines skipped", None), 0) == counted


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    cents=st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=8),
    sign=st.sampled_from([",", "."]),
    grouped=st.booleans(),
)
def test_decimal_signs_round_trip(save, cents, sign, grouped):
    other = "." if sign == "," else ","

    def written(value):
        whole, rest = divmod(abs(value), 100)
        text = f"{whole:,}" if grouped else str(whole)
        return f"{'-' * (value < 0)}{text.replace(',', other)}{sign}{rest:02d}"

    values = one_column(save, [f"{written(value)}" for value in cents], {"kind": "number"})
    np.testing.assert_allclose(values, np.array(cents) / 100, rtol=1e-15)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(alphabet='id,;\t|\n\r"ab1.-/ \u00a0NA0', max_size=60), st.booleans())
def test_any_text_is_a_table_or_a_typed_error(tmp_path, text, header):
    (tmp_path / "t.csv").write_bytes((header * "id,x\n" + text).encode())
    try:
        frame, message = read_clinical_table(tmp_path / "t.csv"), ""
    except PrecisionPainError as error:
        frame, message = None, str(error)
    if frame is None:
        assert message.startswith("t.csv")
    else:
        assert frame.index.is_unique
        assert len(frame) > 0


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_damaged_files_are_typed_errors(tmp_path, kind):
    table = pd.DataFrame({"id": ["s1", "s2"], "x": [1.5, 2], "t": ["a", "b"]})
    path = tmp_path / f"t.{kind}"
    if kind == "xlsx":
        table.to_excel(path, index=False)
    else:
        table.to_parquet(path)
    whole = path.read_bytes()
    random = np.random.default_rng(5)
    for _ in range(40):
        broken = bytearray(whole[: random.integers(8, len(whole))])
        broken[random.integers(4, len(broken))] ^= 255
        path.write_bytes(bytes(broken))
        assert "To fix: " in fails(path)


# Numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["12,5", "7"], [12.5, 7]),
        ([" 1.60   ", "+2", "-3", "\u22124", ".5", "6.", "1e3"], [1.6, 2, -3, -4, 0.5, 6, 1000]),
        (["1.234,5", "1.234"], [1234.5, 1234]),
        (["1,234.5", "1,234"], [1234.5, 1234]),
        (["1,234", "0,5"], [1.234, 0.5]),
        (["1,234", "0.5"], [1234, 0.5]),
        (["1,234", "1,234,567"], [1234, 1234567]),
        (["1.234.567", "1.234"], [1234567, 1234]),
        (["1 234,5", "12\u00a0345"], [1234.5, 12345]),
        (["1,2345", "1,234"], [1.2345, 1.234]),
        (["12,5", "12.5"], [12.5, 12.5]),
        (["1.234", "2.345"], [1.234, 2.345]),
        (["0,123", ",5", "-0,25"], [0.123, 0.5, -0.25]),
        (["9007199254740993"], [9007199254740992.0]),
    ],
)
def test_numbers_as_people_write_them(save, cells, expected):
    values = one_column(save, cells, {"kind": "number"})
    assert values.dtype == float
    assert values.tolist() == expected


def test_repairs_of_numbers_are_counted(save):
    path = save("id;x;y\ns1;1,5;1.234,5\ns2;2,5;NA\ns3;3;7\n")
    frame = read_clinical_table(path, {"x": {"kind": "number"}, "y": {"kind": "number"}})
    done = steps(frame)
    assert done["decimal commas", "x"] == 2
    assert done["thousands", "y"] == 1
    assert done["missing codes", "y"] == 1


@pytest.mark.parametrize("cells", [["1,234"], ["1,234", "12"], ["1,234", "12,5", "12.5"]])
def test_a_comma_that_may_mean_either(save, cells):
    path = save("id\tx\n" + "".join(f"s{i}\t{c}\n" for i, c in enumerate(cells)), "t.tsv")
    text = fails(path, {"x": {"kind": "number"}})
    assert "line 2, column 'x' (subject s0): expected a number, found '1,234'" in text
    assert "decimal=',' or decimal='.'" in text


def test_decimal_settles_it(save):
    assert one_column(save, ["1,234"], {"kind": "number"}, decimal=",").tolist() == [1.234]
    assert one_column(save, ["1,234"], {"kind": "number"}, decimal=".").tolist() == [1234]
    assert one_column(save, ["1.234"], {"kind": "number"}, decimal=",").tolist() == [1234]
    path = save("id\tx\ns1\t12.5\n", "t.tsv")
    assert "expected a number, found '12.5'" in fails(path, {"x": {"kind": "number"}}, decimal=",")


def test_the_rest_of_the_file_is_evidence(save):
    kind = {"kind": "number"}
    comma = save("id\tx\ty\ns1\t1,234\t0,5\n", "t.tsv")
    assert read_clinical_table(comma, {"x": kind, "y": kind})["x"].tolist() == [1.234]
    point = save("id\tx\ty\ns1\t1,234\t0.5\n", "t.tsv")
    assert read_clinical_table(point, {"x": kind, "y": kind})["x"].tolist() == [1234]
    both = save("id\tx\ty\tz\ns1\t1,234\t0.5\t0,5\n", "t.tsv")
    assert "decimal=','" in fails(both, {"x": kind, "y": kind, "z": kind})
    # Text columns are no evidence.
    text = save("id\tx\ty\ns1\t1,234\t0.5\n", "t.tsv")
    assert "decimal=','" in fails(text, {"x": kind, "y": {"kind": "text"}})
    # Decimal commas elsewhere make a lone 1.234 doubtful.
    doubt = save("id\tx\ty\ns1\t1.234\t0,5\n", "t.tsv")
    assert "found '1.234'" in fails(doubt, {"x": kind, "y": kind})


@pytest.mark.parametrize(
    "cell", ["abc", "12 kg", "<5", "1_000", "inf", "1,00,000", "12,5.3", "85%", "TRUE", "0x1A", "٣"]
)
def test_what_is_no_number(save, cell):
    text = fails(save(f"id\tx\ns1\t{cell}\n", "t.tsv"), {"x": {"kind": "number"}})
    assert f"line 2, column 'x' (subject s1): expected a number, found {cell!r}. To fix" in text


@pytest.mark.parametrize("cell", ["11/5", "1/5", "2021-05-11", "5-Nov", "Nov-21", "11.05.2021"])
def test_what_looks_like_a_date(save, cell):
    text = fails(save(f"id\tx\ns1\t{cell}\n", "t.tsv"), {"x": {"kind": "number"}})
    assert f"expected a number, found {cell!r}, which looks like a date" in text


def test_integers(save):
    values = one_column(save, ["12.0", "7", "NA"], {"kind": "integer"})
    assert values.dtype == "Int64"
    assert values.tolist() == [12, 7, pd.NA]
    text = fails(save("id,x\ns1,12.3\ns2,9007199254740993\n"), {"x": {"kind": "integer"}})
    assert "expected a whole number, found '12.3'" in text
    assert "found '9007199254740993'" in text


def test_durations(save):
    assert one_column(save, ["0", "1,5"], {"kind": "duration"}).tolist() == [0, 1.5]
    text = fails(save("id,days\ns1,10\ns2,-3\n"), {"days": {"kind": "duration"}})
    assert "line 3, column 'days' (subject s2): expected a duration of at least 0, found '-3'" in (
        text
    )


def test_factor_and_range(save):
    years = {"kind": "duration", "factor": 12, "maximum": 120, "unit": "months"}
    assert one_column(save, ["2", "0.5"], years).tolist() == [24, 6]
    path = save("id,x\ns1,2\ns2,11\n")
    assert "at most 120, found '11' (× 12 = 132)" in fails(path, {"x": years})
    path = save("id,nrs\ns1,10\ns2,-1\ns3,11\n")
    text = fails(path, {"nrs": {"kind": "number", "minimum": 0, "maximum": 10}})
    assert "2 cells can't be read" in text
    assert "expected at least 0, found '-1'" in text
    assert "expected at most 10, found '11'" in text
    # Three times a tenth isn't 0.3 in binary: a whole number after the factor all the same.
    tenths = {"kind": "integer", "factor": 0.1}
    assert one_column(save, ["30", "70"], tenths).tolist() == [3, 7]


def test_numeric_missing_codes_match_by_value(save):
    column = {"kind": "number", "missing": ["999"], "factor": 2}
    values = one_column(save, ["999", "999.0", "1"], column)
    assert [None if math.isnan(v) else v for v in values] == [None, None, 2]


def test_levels_of_numbers_replace_what_is_no_number(save):
    values = one_column(save, ["<1", "3"], {"kind": "number", "levels": {"<1": 0.5}, "factor": 2})
    assert values.tolist() == [0.5, 6]


# Other kinds -----------------------------------------------------------------------------


def test_levels_match_exactly_and_then_by_case(save):
    levels = {"L": "left", "r": "right", "R": "other", "b": "both"}
    column = {"kind": "category", "levels": levels}
    values = one_column(save, ["L", "l ", "r", "R", "B", ""], column)
    assert values.tolist()[:5] == ["left", "left", "right", "other", "both"]
    assert values.dtype == object
    assert math.isnan(values.iloc[5])


def test_unknown_levels_list_the_known_ones(save):
    path = save("id,side\ns1,L\ns2,X\ns3,R\ns4,X\n")
    text = fails(path, {"side": {"kind": "category", "levels": {"L": "left", "R": "right"}}})
    assert "line 3, column 'side' (subject s2): expected one of 'L', 'R', found 'X'" in text
    assert "line 5, column 'side' (subject s4)" in text


def test_a_level_is_not_missing(save):
    column = {"kind": "category", "levels": {"None": "no surgery", "MVD": "MVD", "-": None}}
    values = one_column(save, ["None", "MVD", "NA", "-"], column)
    assert values.tolist()[:2] == ["no surgery", "MVD"]
    assert values.isna().tolist() == [False, False, True, True]
    declared = {"kind": "category", "levels": {"None": "no surgery"}, "missing": ["none"]}
    assert one_column(save, ["None"], declared).isna().all()


def test_spellings_that_differ_by_case_are_noted(save):
    frame = read_clinical_table(save("id,x\ns1,MVD\ns2,mvd\ns3,PI\n"), {"x": {"kind": "category"}})
    assert frame["x"].tolist() == ["MVD", "mvd", "PI"]
    assert steps(frame)["levels that differ by case", "x"] == 1


def test_ordinals(save):
    numeric = {"kind": "ordinal", "levels": {"I": 1, "II": 2, "IIIa": 3}}
    values = one_column(save, ["II", "iiia", "NA"], numeric)
    assert (values.dtype, values.tolist()) == ("Int64", [2, 3, pd.NA])
    halves = one_column(save, ["b"], {"kind": "ordinal", "levels": {"a": 1, "b": 1.5}})
    assert (halves.dtype, halves.tolist()) == (float, [1.5])
    labels = ["none", "mild", "severe"]
    values = one_column(save, ["severe", "none", "Mild"], {"kind": "ordinal", "levels": labels})
    assert values.tolist() == [2, 0, 1]
    plain = one_column(save, ["3", "1"], {"kind": "ordinal"})
    assert (plain.dtype, plain.tolist()) == ("Int64", [3, 1])
    path = save("id,x\ns1,worst\n")
    text = fails(path, {"x": {"kind": "ordinal", "levels": labels}})
    assert "expected one of 'none', 'mild', 'severe', found 'worst'" in text
    assert "as the column has no levels" in fails(path, {"x": {"kind": "ordinal"}})


def test_the_labels_of_an_ordinal_stay_in_its_column(save):
    frame = read_clinical_table(
        save("id,x\ns1,low\ns2,high\n"), {"x": Column(kind="ordinal", levels=["low", "high"])}
    )
    assert Column(**frame.attrs["columns"]["x"]).levels == {"low": "low", "high": "high"}


def test_flags(save):
    values = one_column(save, ["Yes", "no ", "TRUE", "0", "1.0", "n/a"], {"kind": "flag"})
    assert values.dtype == "boolean"
    assert values.tolist() == [True, False, True, False, True, pd.NA]
    coded = {"kind": "flag", "levels": {"2": True, "1": False}}
    assert one_column(save, ["1", "2"], coded).tolist() == [False, True]
    path = save("id,x\ns1,maybe\n")
    assert "expected yes or no, found 'maybe'" in fails(path, {"x": {"kind": "flag"}})
    assert "expected one of '2', '1', found 'maybe'" in fails(path, {"x": coded})


def test_yaml_reads_yes_as_true(save, tmp_path):
    (tmp_path / "map.yaml").write_text(
        "columns:\n  subject_id: code\n"
        "  op:\n    source: Surgery\n    levels: {yes: MVD, no: none}\n"
    )
    path = save("code,Surgery\np1,yes\np2,No\n")
    frame = read_clinical_table(path, tmp_path / "map.yaml")
    assert frame["op"].tolist() == ["MVD", "none"]
    assert frame.index.tolist() == ["p1", "p2"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2021-04-03", (2021, 4, 3)),
        ("2021-04-03T08:30", (2021, 4, 3, 8, 30)),
        ("2021-04-03 08:30:15", (2021, 4, 3, 8, 30, 15)),
        ("2021/4/3", (2021, 4, 3)),
        ("03.04.2021", (2021, 4, 3)),
        ("13/04/2021", (2021, 4, 13)),
        ("04/13/2021", (2021, 4, 13)),
        ("04-04-2021", (2021, 4, 4)),
        ("3 April 2021", (2021, 4, 3)),
        ("Apr 3, 2021", (2021, 4, 3)),
        ("03-Apr-2021", (2021, 4, 3)),
    ],
)
def test_dates(save, cell, expected):
    values = one_column(save, [cell, "NA"], {"kind": "date"})
    assert values.dtype == "datetime64[ns]"
    assert values.iloc[0] == datetime.datetime(*expected)
    assert pd.isna(values.iloc[1])


@pytest.mark.parametrize(
    "cell", ["03/04/2021", "03/04/21", "2021-02-30", "31/31/2021", "2021-04-03 08:30+02:00"]
)
def test_dates_that_may_be_wrong(save, cell):
    text = fails(save(f"id,x\ns1,{cell}\n"), {"x": {"kind": "date"}})
    assert "an existing date whose day and month can't be confused" in text
    assert "write dates as YYYY-MM-DD" in text


@pytest.mark.parametrize("cell", ["soon", "0021-04-03", "44197"])
def test_what_is_no_date(save, cell):
    assert f"found {cell!r}" in fails(save(f"id,x\ns1,{cell}\n"), {"x": {"kind": "date"}})


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"kind": "text", "factor": 2}, "a factor applies to numbers"),
        ({"kind": "category", "maximum": 2}, "minimum and maximum apply to numbers"),
        ({"kind": "date", "levels": ["a"]}, "levels don't apply to dates"),
        ({"kind": "number", "levels": {"a": "b"}}, "the levels must stand for numbers"),
        ({"kind": "flag", "levels": {"a": "b"}}, "the levels must stand for true and false"),
        ({"kind": "ordinal", "levels": {"a": 2, "b": 1}}, "listed in rising order"),
    ],
)
def test_columns_that_contradict_themselves(save, column, said):
    text = fails(save("id,x\ns1,1\n"), {"x": column})
    assert said in text
    assert "column map, column 'x'" in text


# All problems at once --------------------------------------------------------------------


def test_all_bad_cells_are_collected(save):
    rows = "".join(f"s{i},bad{i},{'x' * 60}\n" for i in range(4))
    path = save("id,a,b\n" + rows + "s4,1,2\n")
    text = fails(path, {"b": {"kind": "number"}, "a": {"kind": "number"}})
    assert text.startswith("t.csv: 8 cells can't be read\n")
    listed = [line for line in text.splitlines() if line.startswith("  t.csv, line ")]
    assert [line.split(", ")[1] for line in listed] == [
        "line 2", "line 2", "line 3", "line 3", "line 4",
    ]  # fmt: skip
    assert "  t.csv, line 2, column 'a' (subject s0): expected a number, found 'bad0'\n" in text
    assert "and 3 more. To fix: " in text
    assert "'" + "x" * 39 + "…'" in text
    assert "x" * 40 not in text


def test_one_bad_cell_is_one_line(save):
    error = None
    try:
        read_clinical_table(save("id,a\ns1,x\n"), {"a": {"kind": "number"}})
    except FormatError as caught:
        error = caught
    assert error is not None
    assert error.where == "t.csv, line 2, column 'a' (subject s1)"
    assert error.what == "expected a number, found 'x'"
    assert "Column(missing=[...])" in error.remedy


def test_errors_stay_fast_when_every_cell_is_bad(save):
    # One message for each of 30 000 different texts, looked up, not searched for.
    path = save("id,a\n" + "".join(f"s{i},word{i}\n" for i in range(30_000)))
    assert "30000 cells can't be read" in fails(path, {"a": {"kind": "number"}})


# Inference -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2", "NA"], "integer"),
        (["1", "2.5"], "number"),
        (["1", "2,5"], "number"),
        (["yes", "No"], "flag"),
        (["true", ""], "flag"),
        (["007", "012", "013"], "text"),
        (["007", "007", "012", "012"], "category"),
        (["12345678901234567890", "1"], "category"),
        (["2021-04-03", "13/04/2021"], "date"),
        (["2021-04-03", "03/04/2021", "x", "y", "z"], "text"),
        (["MVD", "PI", "MVD"], "category"),
        (["a", "b", "c"], "text"),
        (["1", "2", "a", "a"], "text"),
        (["1", "1", "a", "a"], "category"),
        ([f"word {i}" for i in range(21)] * 4, "text"),
        ([f"word {i}" for i in range(20)] * 4, "category"),
    ],
)
def test_kinds_are_inferred(save, cells, kind):
    path = save("id\tx\n" + "".join(f"s{i}\t{cell}\n" for i, cell in enumerate(cells)), "t.tsv")
    column = read_clinical_table(path).attrs["columns"]["x"]
    assert column["kind"] == kind
    assert column.get("role") == ("note" if kind == "text" else None)


def test_levels_tell_the_kind(save):
    path = save("id,a,b\ns1,0,0\ns2,1,1\n")
    frame = read_clinical_table(
        path,
        {"a": {"levels": {"0": "female", "1": "male"}}, "b": {"levels": {"0": False, "1": True}}},
    )
    assert frame["a"].tolist() == ["female", "male"]
    assert frame["b"].dtype == "boolean"


def test_a_few_words_among_numbers_are_errors(save):
    path = save("id,x\ns1,1\ns2,2\ns3,3\ns4,4\ns5,five\n")
    assert "line 6, column 'x' (subject s5): expected a number, found 'five'" in fails(path)
    frame = read_clinical_table(path, {"x": {"missing": ["five"]}})
    assert frame["x"].tolist() == [1, 2, 3, 4, pd.NA]
    assert steps(frame)["missing codes", "x"] == 1


def test_usual_missing_codes(save):
    codes = ["NA", "N/A", "n/a", "NaN", "nan", "null", "None", ".", "-", "#N/A", "", " na "]
    values = one_column(save, [*codes, "1"], {"kind": "number"})
    assert values.isna().sum() == len(codes)
    path = save("id,x\ns1,NA\ns2,?\n")
    frame = read_clinical_table(path, {"x": {"kind": "text"}}, missing=["?"])
    assert frame["x"].tolist()[0] == "NA"
    assert frame["x"].isna().tolist() == [False, True]


# The map ---------------------------------------------------------------------------------


def test_map_gives_names_order_and_documents(save):
    path = save("x,id,y,z\n1,s1,2,3\n")
    frame = read_clinical_table(
        path,
        {
            "second": {"source": " y ", "unit": "mm", "visit": "baseline"},
            "first": Column(source="x", role="outcome", reason="known later"),
            "gone": Column(source="z", role="unused", reason="a copy"),
        },
    )
    assert frame.columns.tolist() == ["second", "first"]
    assert frame.attrs["columns"] == {
        "second": {"source": " y ", "kind": "integer", "visit": "baseline", "unit": "mm"},
        "first": {"source": "x", "kind": "integer", "role": "outcome", "reason": "known later"},
        "gone": {"source": "z", "role": "unused", "reason": "a copy"},
    }


def test_columns_that_the_map_does_not_name(save):
    path = save("id,x,y,note\ns1,1,2,a b\ns2,3,4,c d\n")
    kept = read_clinical_table(path, {"first": "x"})
    assert kept.columns.tolist() == ["first", "y", "note"]
    dropped = read_clinical_table(path, {"first": "x"}, unlisted="drop")
    assert dropped.columns.tolist() == ["first"]
    assert dropped.attrs["columns"]["y"] == {
        "source": "y",
        "role": "unused",
        "reason": "not in the map",
    }
    assert "the map doesn't name the columns 'y', 'note'" in fails(
        path, {"first": "x"}, unlisted="error"
    )
    assert read_clinical_table(path, unlisted="error").columns.tolist() == ["x", "y", "note"]


def test_every_header_is_accounted_for(save):
    path = save("id,age,Age,empty,time\ns1,1,2,,pre\n")
    columns = {"age": {"source": "Age"}}
    frame = read_clinical_table(path, columns, visit_column="time", unlisted="drop")
    documented = [entry.get("source", name) for name, entry in frame.attrs["columns"].items()]
    assert sorted([*documented, "id", "time"]) == ["Age", "age", "empty", "id", "time"]


def test_names_that_collide(save):
    path = save("id,age,Age (years)\ns1,1,2\n")
    text = fails(path, {"age": "Age (years)"})
    assert "the column 'age', which the map doesn't name, has the name that another" in text
    frame = read_clinical_table(path, {"age": "Age (years)"}, unlisted="drop")
    assert frame["age"].tolist() == [2]
    assert "'visit' is the name of the column 'id'" in fails(
        path, {"visit": "age"}, id_column="Age (years)", visit_column="id"
    )


def test_two_names_may_share_a_header(save):
    path = save("id,x\ns1,3\n")
    frame = read_clinical_table(path, {"a": "x", "b": {"source": "x", "kind": "text"}})
    assert frame.iloc[0].tolist() == [3, "3"]


# Ids and visits --------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["participant_id", "SUBJECT_ID", "BIDS_ID", "Subject", "ID"])
def test_usual_headers_of_ids(save, header):
    frame = read_clinical_table(save(f"x,{header},patient_id\n1,s1,p1\n"))
    assert frame.index.tolist() == ["s1"]
    assert steps(frame)["id column", header] == 1


def test_no_header_of_ids(save):
    path = save("code,x\ns1,1\n")
    text = fails(path)
    assert "no column of subject ids among the headers 'code', 'x'" in text
    assert "id_column=" in text
    assert read_clinical_table(path, id_column="code").index.tolist() == ["s1"]
    assert "pass delimiter=" in fails(save("code:x\ns1:1\n"))


def test_ids_stay_text(save):
    path = save("id,x\n001,1\n01,2\n1,3\n1.0,4\n")
    assert read_clinical_table(path).index.tolist() == ["001", "01", "1", "1.0"]


def test_ids_that_are_missing(save):
    text = fails(save("id,x\ns1,1\n,2\nNA,3\n"))
    assert "t.csv, line 3, column 'id': expected a subject id, found ''" in text
    assert "likewise on the lines 4" in text
    frame = read_clinical_table(save("id,x\ns1,1\n,NA\n"))
    assert frame.index.tolist() == ["s1"]
    assert steps(frame)["rows without values skipped", None] == 1


def test_ids_that_occur_twice(save):
    text = fails(save("id,x\ns1,1\ns2,2\n\ns1,3\n"), error=AlignmentError)
    assert "t.csv: 1 id occurs more than once: 's1' (lines 2 and 5)" in text
    assert "visit_column=" in text
    text = fails(save("id,x\ns1,1\ns1 ,3\n"), error=AlignmentError)
    assert "'s1' (lines 2 and 3)" in text
    assert "differ in the file, but only by stray spaces" in text


def test_rows_of_visits(save):
    path = save("id,time,x\ns1,pre,1\ns1, post,2\ns2,pre,3\n")
    frame = read_clinical_table(path, visit_column="time")
    assert frame.columns.tolist() == ["subject_id", "visit", "x"]
    assert frame.index.equals(pd.RangeIndex(3))
    assert frame["subject_id"].tolist() == ["s1", "s1", "s2"]
    assert frame["visit"].tolist() == ["pre", "post", "pre"]
    text = fails(save("id,time\ns1,pre\ns1,pre\n"), visit_column="time", error=AlignmentError)
    assert "1 key occurs more than once: ('s1', 'pre') (lines 2 and 3)" in text
    text = fails(save("id,time\ns1,pre\ns1,\n"), visit_column="time")
    assert "line 3, column 'time': expected a visit, found ''" in text


# Excel and Parquet -----------------------------------------------------------------------


def test_excel_as_pandas_writes_it(tmp_path):
    table = pd.DataFrame(
        {
            "id": ["s1", "s2", "s3"],
            "x": [1.234, np.nan, 2.5],
            "n": [1, 2, 3],
            "ok": [True, False, True],
            "when": [pd.Timestamp(2021, 4, 3), pd.Timestamp(2021, 4, 4, 8, 30), pd.NaT],
            "side": ["L", None, "R "],
        }
    )
    table.to_excel(tmp_path / "t.xlsx", index=False)
    frame = read_clinical_table(tmp_path / "t.xlsx", {"side": {"kind": "category"}})
    assert frame["x"].tolist()[::2] == [1.234, 2.5]
    assert (frame["n"].dtype, frame["ok"].dtype) == ("Int64", "boolean")
    assert frame["when"].tolist()[:2] == table["when"].tolist()[:2]
    assert frame["side"].tolist()[::2] == ["L", "R"]
    assert steps(frame)["spaces stripped", "side"] == 1


def test_excel_numbers_are_not_subject_to_decimal_signs(save_excel):
    # A stored 1.234 is no thousand, though the cells that somebody typed have commas.
    cells = [1.234, "12,5", "1.234,5", "1.234"]
    path = save_excel(S=[["id", "x"], *([f"s{i}", cell] for i, cell in enumerate(cells))])
    expected = [1.234, 12.5, 1234.5, 1234]
    assert read_clinical_table(path, {"x": {"kind": "number"}})["x"].tolist() == expected
    named = read_clinical_table(path, {"x": {"kind": "number"}}, decimal=",")
    assert named["x"].tolist() == expected


def test_excel_ids_and_rows(save_excel):
    path = save_excel(S=[[None], ["id", "x", None], [], [1.0, 5, None], [2, "bad", None]])
    text = fails(path, {"x": {"kind": "number"}})
    assert "t.xlsx, sheet 'S', line 5, column 'x' (subject 2): expected a number" in text
    frame = read_clinical_table(path, {"x": {"kind": "text"}})
    assert frame.index.tolist() == ["1", "2"]
    assert steps(frame)["keys made text", "id"] == 2
    assert steps(frame)["blank lines skipped", None] == 2
    detail = next(e for e in frame.attrs["provenance"] if e["step"] == "keys made text")["detail"]
    assert "zero padding" in detail


def test_excel_dates_where_numbers_should_be(save_excel):
    rows = [["id", "x"], ["s1", 4], ["s2", datetime.datetime(2024, 5, 11)]]
    path = save_excel(S=[*rows, ["s3", datetime.time(8, 30)]])
    text = fails(path, {"x": {"kind": "number"}})
    assert "line 4, column 'x' (subject s3): expected a number, found '08:30:00'" in text
    assert "line 3, column 'x' (subject s2): expected a number, found '2024-05-11', which" in text
    ids = save_excel(S=[["id", "x"], [datetime.datetime(2024, 5, 3), 4], ["3-6", 5]])
    assert steps(read_clinical_table(ids))["ids that look like dates", "id"] == 2


def test_excel_errors_are_no_values(save_excel):
    path = save_excel(S=[["id", "x"], ["s1", "#DIV/0!"], ["s2", "#N/A"], ["s3", "a"]])
    text = fails(path, {"x": {"kind": "category"}})
    assert "line 2, column 'x' (subject s1): expected a value, found '#DIV/0!'" in text


def test_excel_sheets(save_excel):
    path = save_excel(First=[["id", "x"], ["s1", 1]], Second=[["id", "x"], ["s1", 2]])
    assert read_clinical_table(path)["x"].tolist() == [1]
    assert read_clinical_table(path, sheet=1)["x"].tolist() == [2]
    assert read_clinical_table(path, sheet="Second")["x"].tolist() == [2]
    text = fails(path, sheet="Third")
    assert "there is no sheet 'Third'" in text
    assert "'First', 'Second'" in text
    assert "there is no sheet 2" in fails(path, sheet=2)


def test_excel_formulas_without_values(save_excel):
    path = save_excel(S=[["id", "x"], ["s1", "=1+1"]])
    text = fails(path)
    assert "formulas without a stored value in 'B2'" in text
    assert "open the workbook in Excel and save it" in text


def test_excel_formulas_with_values(save_excel):
    import io
    import zipfile

    path = save_excel(S=[["id", "x", "y"], ["s1", "=1+1", '=IF(A1="","a","")']])
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w") as new:
        for part in old.namelist():
            data = old.read(part)
            if part.endswith("sheet1.xml"):
                # As a spreadsheet program stores what it calculated.
                assert data.count(b"<f>1+1</f><v />") + data.count(b"<f>1+1</f><v></v>") == 1
                data = data.replace(b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
                data = data.replace(b"<f>1+1</f><v></v>", b"<f>1+1</f><v>2</v>")
            new.writestr(part, data)
    path.write_bytes(packed.getvalue())
    frame = read_clinical_table(path)
    assert frame["x"].tolist() == [2]
    # The other formula gave an empty text.
    assert frame.attrs["columns"]["y"]["reason"] == "no values"


def test_excel_columns_beyond_the_header(save_excel):
    path = save_excel(S=[["id", "x"], ["s1", 1, "a stray remark"]])
    assert "column 3 has no header, but holds 'a stray remark'" in fails(path)


def test_parquet(tmp_path):
    table = pd.DataFrame(
        {"x": [1.234, np.nan], "big": [2**40, 1], "flag": [True, None], "note": ["a\nb", None]},
        index=pd.Index([7, 8], name="subject_id"),
    )
    table.to_parquet(tmp_path / "t.parquet")
    frame = read_clinical_table(tmp_path / "t.parquet", {"note": {"kind": "text"}})
    assert frame.index.tolist() == ["7", "8"]
    assert frame["x"].iloc[0] == 1.234
    assert frame["big"].tolist() == [2**40, 1]
    assert frame["flag"].tolist() == [True, pd.NA]
    assert frame["note"].iloc[0] == "a\nb"
    assert steps(frame)["keys made text", "subject_id"] == 2
    text = fails(tmp_path / "t.parquet", {"x": {"kind": "integer"}})
    assert "t.parquet, row 1, column 'x' (subject 7): expected a whole number" in text


def test_parquet_numbers_that_are_none(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"id": ["s1", "s2"], "x": [1.0, math.nan], "y": [1.0, math.inf]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    frame = read_clinical_table(tmp_path / "t.parquet", {"x": None}, unlisted="drop")
    assert frame["x"].isna().tolist() == [False, True]
    text = fails(tmp_path / "t.parquet", {"y": {"kind": "number"}})
    assert "row 2, column 'y' (subject s2): expected a number, found 'inf'" in text


def test_parquet_text_with_nul(tmp_path):
    pd.DataFrame({"id": ["s1", "s2"], "x": ["a\0b", "a\0c"]}).to_parquet(tmp_path / "t.parquet")
    assert "row 1, column 'x': a NUL character in 'a\\x00b'" in fails(tmp_path / "t.parquet")


def test_parquet_of_lists(tmp_path):
    pd.DataFrame({"id": ["s1"], "x": [[1, 2]]}).to_parquet(tmp_path / "t.parquet")
    assert "the columns 'x' hold lists, structures or bytes" in fails(tmp_path / "t.parquet")


# Real tables -----------------------------------------------------------------------------


def test_real_participants(shared_data):
    path = shared_data / "tn_ds005713" / "participants_v2.0.1.tsv"
    frame = read_clinical_table(path)
    assert len(frame) == 173
    assert frame.index.is_unique
    assert {"sub-01", "sub-010"} <= set(frame.index)
    done = steps(frame)
    assert done["empty columns dropped", None] == 12
    # Counted by hand in the file: 978 records, 174 of them with cells.
    assert done["blank lines skipped", None] == 804
    assert frame["Surgery_type"].value_counts().to_dict() == {"MVD": 80, "PI": 31, "Outpatient": 9}
    assert frame["Previous_surgeries"].value_counts().to_dict() == {False: 98, True: 22}
    outcome = frame["Surgery_outcome"].value_counts()
    assert outcome.to_dict() == {"Pos": 83, "Neg": 20}
    assert "CBZ (600) + AMT (12,5)" in set(frame["Pharm_treatment (daily dose, mg)"])
    assert frame["Sindou_grade"].notna().sum() == 173 - 91
    assert len(frame.attrs["columns"]) == 28


def test_real_psychology(shared_data):
    path = shared_data / "tn_ds005713" / "participants_psychology_v2.0.2.tsv"
    lines = path.read_text().splitlines()
    line = 1 + next(i for i, text in enumerate(lines) if "\t11/5\t" in text)
    subject = lines[line - 1].split("\t")[0]
    text = fails(path, {"education": {"source": "Education", "kind": "number"}}, unlisted="drop")
    assert f"line {line}, column 'Education' (subject {subject}): expected a number, " in text
    assert "found '11/5', which looks like a date" in text
    assert "3 cells can't be read" in fails(path)
    frame = read_clinical_table(
        path, {"Education": {"missing": ["11/5"]}, "LEQ": {"missing": ["1/5", "1/3"]}}
    )
    assert len(frame) == 179
    assert frame["LEQ"].dtype == float
    assert steps(frame)["spaces stripped", "LEQ"] >= 1


@pytest.mark.parametrize(
    ("name", "people"),
    [("ds000208", 76), ("ds000220", 26), ("ds001928", 40), ("ds005016", 147)],
)
def test_real_participants_of_other_studies(shared_data, name, people):
    frame = read_clinical_table(shared_data / "clinical" / f"openneuro_{name}" / "participants.tsv")
    assert len(frame) == people


def test_real_diary_holds_a_row_twice(shared_data):
    path = shared_data / "clinical" / "Rdatasets_pain" / "KosteckiDillon.csv"
    text = fails(path, visit_column="time", error=AlignmentError)
    assert "1 key occurs more than once: ('90', '17') (lines 2852 and 2853)" in text
