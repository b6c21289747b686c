"""Writes the same table with several libraries, and beside it what has to be read of it.

The values that are expected come from Python's own types, not from any reader of workbooks."""

import datetime as dt
import decimal
import io
import json
import sys

import msoffcrypto.format.ooxml
import odf.number as number
import odf.office
import odf.style as style
import odf.table as table
import odf.text as text
import openpyxl
import xlsxwriter
import xlwt
from odf.opendocument import OpenDocumentSpreadsheet
from pyxlsbwriter import XlsbWriter
from xlwt.Cell import FormulaCell
from pyexcelerate import Format, Style, Workbook as Pyexcelerate

HEADER = ["Text", "Id", "Number", "Percent", "Money", "Day", "Instant", "Time", "Passed", "Yes"]
FORMATS = [None, None, None, "0.00%", '#,##0.00 "EUR"', "dd/mm/yyyy", "yyyy-mm-dd hh:mm:ss", "hh:mm:ss", "[h]:mm:ss", None]

ROWS = [
    ["Zoë & Søn <AG>", "00123", 1, 0.125, 1234.5, dt.date(2024, 1, 31), dt.datetime(2024, 1, 31, 18, 30, 15), dt.time(9, 0), dt.timedelta(hours=26, minutes=30), True],
    ["two\nlines", "001Qy00000AbCdEIAV", -0.1, 1, 0, dt.date(1904, 1, 2), dt.datetime(2024, 2, 29), dt.time(23, 59, 59), dt.timedelta(seconds=1), False],
    ["tab\tin it", "12345678901234567890", 1e15, 0.3, 1e-7, dt.date(9999, 12, 31), dt.datetime(1999, 12, 31, 23, 59, 59), dt.time(0, 0), dt.timedelta(days=40), True],
    ["  blanks  ", "1e5", 123456789.123456, 2.5, -42.25, dt.date(2000, 2, 29), dt.datetime(2038, 1, 19, 3, 14, 8), dt.time(12, 34, 56), dt.timedelta(minutes=59), False],
    ["😀 日本語", "=1+1", 0.666666666666667, 0, 99999999999.99, dt.date(1904, 3, 1), dt.datetime(2024, 12, 31, 0, 0, 1), dt.time(0, 0, 1), dt.timedelta(hours=1), True],
]


LONG = ["Text"] + [f"{number} " + letter * 190 for number, letter in zip(range(120), "aé日😀" * 30)]


def plain(number):
    """All digits, no exponent."""
    return format(decimal.Decimal(repr(number)), "f").removesuffix(".0")


def passed(delta):
    hours, rest = divmod(int(delta.total_seconds()), 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{count}{unit}" for count, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if count]
    return "PT" + "".join(parts)


def expected(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return plain(value)
    if isinstance(value, dt.datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.time):
        return value.strftime("%H:%M:%S.000Z")
    if isinstance(value, dt.timedelta):
        return passed(value)
    return value


def with_openpyxl(name, epoch=None, iso=False):
    book = openpyxl.Workbook(iso_dates=iso)
    if epoch:
        book.epoch = epoch
    sheet = book.active
    sheet.title = "Accounts"
    sheet.append(HEADER)
    for number, row in enumerate(ROWS, 2):
        for column, (value, code) in enumerate(zip(row, FORMATS), 1):
            cell = sheet.cell(number, column, value)
            if isinstance(value, str):
                cell.data_type = "s"
            if code:
                cell.number_format = code
    book.save(name)


def with_xlsxwriter(name, **options):
    book = xlsxwriter.Workbook(name, {"remove_timezone": True, **options})
    sheet = book.add_worksheet("Accounts")
    formats = [code and book.add_format({"num_format": code}) for code in FORMATS]
    sheet.write_row(0, 0, HEADER)
    for number, row in enumerate(ROWS, 1):
        for column, (value, form) in enumerate(zip(row, formats)):
            match value:
                case bool():
                    sheet.write_boolean(number, column, value, form)
                case str():
                    sheet.write_string(number, column, value, form)
                case int() | float():
                    sheet.write_number(number, column, value, form)
                case _:
                    sheet.write_datetime(number, column, value, form)
    book.close()


def with_pyexcelerate(name):
    book = Pyexcelerate()
    sheet = book.new_sheet("Accounts")
    for column, title in enumerate(HEADER, 1):
        sheet.set_cell_value(1, column, title)
    # Durations and formulas it writes in ways of its own.
    for number, row in enumerate(ROWS, 2):
        for column, (value, code) in enumerate(zip(row, FORMATS), 1):
            if isinstance(value, (dt.timedelta, dt.time)) or value == "=1+1":
                continue
            if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
                value = dt.datetime(value.year, value.month, value.day)
            sheet.set_cell_value(number, column, value)
            if code:
                sheet.set_cell_style(number, column, Style(format=Format(code)))
    book.save(name)


def with_xlwt(name, epoch_1904=False):
    book = xlwt.Workbook()
    book.dates_1904 = epoch_1904
    sheet = book.add_sheet("Accounts")
    styles = [xlwt.easyxf(num_format_str=code or "General") for code in FORMATS]
    for column, title in enumerate(HEADER):
        sheet.write(0, column, title)
    for number, row in enumerate(ROWS, 1):
        for column, (value, style) in enumerate(zip(row, styles)):
            if isinstance(value, dt.timedelta):
                value = value / dt.timedelta(days=1)
            sheet.write(number, column, value, style)
    book.save(name)


def long_texts(name):
    """More texts than one record takes, narrow ones and wide ones, so that some are cut in two."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("Long")
    for number, text in enumerate(LONG):
        sheet.write(number, 0, text)
    book.save(name)


def old_and_odd(name):
    """Records that only some cells have, hidden ones too."""
    book = xlwt.Workbook()
    hidden = book.add_sheet("Notes")
    hidden.write(0, 0, "nothing here")
    hidden.visibility = 1
    sheet = book.add_sheet("Data")
    book.set_active_sheet(1)
    for column, title in enumerate(["Name", "Sum", "State"], 1):
        sheet.write(1, column, title)
    sheet.write_rich_text(2, 1, ["half ", ("bold", xlwt.easyfont("bold on"))])
    sheet.write(2, 2, -1.25)
    sheet.write(2, 3, True)
    sheet.row(3).set_cell_error(1, 0x2A)
    # To be calculated when it is opened.
    sheet.row(4).insert_cell(2, FormulaCell(4, 2, book.add_style(xlwt.XFStyle()), xlwt.Formula("1+1"), calc_flags=2))
    sheet.write(6, 1, "hidden")
    sheet.write(6, 2, 12345678)
    sheet.write(6, 3, False)
    sheet.row(6).hidden = True
    sheet.col(2).hidden = True
    sheet.write(8, 1, "far")
    sheet.write(8, 5, "off")
    book.save(name)


def odf_styles(book):
    """Days, days with a time, times of a day, times that passed, yes and no: a style each. LibreOffice goes by them."""
    def hours(of):
        for part in (number.Hours(style="long"), number.Text(text=":"), number.Minutes(style="long"), number.Text(text=":"), number.Seconds(style="long")):
            of.addElement(part)

    day, instant = number.DateStyle(name="N1"), number.DateStyle(name="N2")
    for of in (day, instant):
        for part in (number.Year(style="long"), number.Text(text="-"), number.Month(style="long"), number.Text(text="-"), number.Day(style="long")):
            of.addElement(part)
    instant.addElement(number.Text(text=" "))
    hours(instant)
    time, lasting = number.TimeStyle(name="N3"), number.TimeStyle(name="N4", truncateonoverflow="false")
    hours(time)
    hours(lasting)
    yes = number.BooleanStyle(name="N5")
    yes.addElement(number.Boolean())
    for of in (day, instant, time, lasting, yes):
        book.automaticstyles.addElement(of)
    named = {}
    for kind, of in ((dt.datetime, "N2"), (dt.date, "N1"), (dt.time, "N3"), (dt.timedelta, "N4"), (bool, "N5")):
        named[kind] = style.Style(name=kind.__name__, family="table-cell", datastylename=of)
        book.automaticstyles.addElement(named[kind])
    return named


def odf_cell(value, named, kind="float", **more):
    match value:
        case bool():
            return table.TableCell(valuetype="boolean", booleanvalue="true" if value else "false", stylename=named[bool], **more)
        case int() | float():
            return table.TableCell(valuetype=kind, value=repr(value), **more)
        case dt.datetime():
            return table.TableCell(valuetype="date", datevalue=value.isoformat(), stylename=named[dt.datetime], **more)
        case dt.date():
            return table.TableCell(valuetype="date", datevalue=value.isoformat(), stylename=named[dt.date], **more)
        case dt.time():
            return table.TableCell(valuetype="time", timevalue=value.strftime("PT%HH%MM%SS"), stylename=named[dt.time], **more)
        case dt.timedelta():
            hours, rest = divmod(int(value.total_seconds()), 3600)
            passed = f"PT{hours:02}H{rest // 60:02}M{rest % 60:02}S"
            return table.TableCell(valuetype="time", timevalue=passed, stylename=named[dt.timedelta], **more)
        case None:
            return table.TableCell(**more)
    cell = table.TableCell(valuetype="string", **more)
    for line in value.split("\n"):
        # Blanks and tabs as they are; LibreOffice, which reads this, makes elements of them.
        cell.addElement(text.P(text=line))
    return cell


def odf_row(cells, **more):
    row = table.TableRow(**more)
    for cell in cells:
        row.addElement(cell)
    return row


def with_odfpy(name):
    book = OpenDocumentSpreadsheet()
    named = odf_styles(book)
    sheet = table.Table(name="Accounts")
    sheet.addElement(odf_row(odf_cell(title, named) for title in HEADER))
    kinds = ["float"] * 3 + ["percentage", "currency"] + ["float"] * 5
    for row in ROWS:
        sheet.addElement(odf_row(odf_cell(value, named, kind) for value, kind in zip(row, kinds)))
    book.spreadsheet.addElement(sheet)
    book.save(name)


def odd_odf(name):
    """Several sheets, hidden ones too, formulas, errors, comments, merged cells, and what is told once for many."""
    book = OpenDocumentSpreadsheet()
    named = odf_styles(book)
    off = style.Style(name="off", family="table")
    off.addElement(style.TableProperties(display="false"))
    book.automaticstyles.addElement(off)
    hidden = table.Table(name="Notes", stylename=off)
    hidden.addElement(odf_row([odf_cell("nothing here", named)]))
    sheet = table.Table(name="Data 2024")
    sheet.addElement(table.TableColumn(numbercolumnsrepeated="3"))
    sheet.addElement(table.TableColumn(visibility="collapse"))
    sheet.addElement(table.TableColumn(defaultcellstylename=named[dt.date]))

    def blank(times):
        sheet.addElement(odf_row([table.TableCell(numbercolumnsrepeated="16384")], numberrowsrepeated=str(times)))

    def row(*cells, **more):
        sheet.addElement(odf_row([table.TableCell(), *cells], **more))

    title = odf_cell("A report of ours", named, numbercolumnsspanned="3", numberrowsspanned="1")
    row(title, table.CoveredTableCell(numbercolumnsrepeated="2"))
    blank(2)
    row(*(odf_cell(name, named) for name in ("Name", "Sum", "State", "Day")))
    rich = table.TableCell(valuetype="string")
    comment = odf.office.Annotation()
    comment.addElement(text.P(text="a comment"))
    rich.addElement(comment)
    paragraph = text.P(text="half ")
    paragraph.addElement(text.Span(text="bold"))
    paragraph.addText(" text")
    rich.addElement(paragraph)
    day = table.TableCell(valuetype="date", datevalue="2024-01-31")
    row(rich, odf_cell(2, named, formula="of:=1+1"), odf_cell("A", named, formula='of:=UPPER("a")'), day)
    error = odf_cell("#N/A", named, formula="of:=NA()")
    row(error, table.TableCell(), odf_cell(True, named))
    blank(1)
    row(odf_cell("alike", named), odf_cell(7, named, numbercolumnsrepeated="2"), numberrowsrepeated="3")
    row(odf_cell("hidden", named), visibility="collapse")
    row(odf_cell("far", named), table.TableCell(numbercolumnsrepeated="4"), odf_cell("off", named))
    blank(1_048_000)
    row(odf_cell("Total", named), odf_cell(9, named))
    book.spreadsheet.addElement(hidden)
    book.spreadsheet.addElement(sheet)
    book.save(name)


def with_pyxlsbwriter(name):
    """It writes no formats of ours, no times, and no characters of two units: it counts those wrongly."""
    def known(value):
        is_odd = isinstance(value, str) and max(value) > "\uFFFF"
        return None if is_odd or isinstance(value, (dt.time, dt.timedelta)) else value

    with XlsbWriter(name) as book:
        book.add_sheet("Notes", hidden=True)
        book.write_sheet([["nothing here"]])
        book.add_sheet("Accounts")
        book.write_sheet([HEADER] + [[known(value) for value in row] for row in ROWS])


def serial(value):
    """As days, which is what a workbook keeps."""
    match value:
        case dt.datetime():
            return (value - dt.datetime(1899, 12, 30)) / dt.timedelta(days=1)
        case dt.date():
            return (value - dt.date(1899, 12, 30)).days
        case dt.time():
            return (value.hour * 3600 + value.minute * 60 + value.second) / 86400
        case dt.timedelta():
            return value / dt.timedelta(days=1)
    return value


def for_others(name):
    """The same table for programs that know no types of Python's."""
    with open(name, "w", encoding="utf-8") as file:
        json.dump({"header": HEADER, "formats": FORMATS, "rows": [[serial(value) for value in row] for row in ROWS]}, file)


def protected(name):
    book = io.BytesIO()
    plain = openpyxl.Workbook()
    plain.save(book)
    with open(name, "wb") as file:
        msoffcrypto.format.ooxml.OOXMLFile(book).encrypt("hush", file)


def odd(name):
    """What only some programs write: formulas, errors, merged and hidden cells, several sheets and runs of text."""
    book = xlsxwriter.Workbook(name)
    hidden = book.add_worksheet("Notes")
    hidden.write(0, 0, "nothing here")
    sheet = book.add_worksheet("Data 2024")
    sheet.activate()
    sheet.set_first_sheet()
    hidden.hide()
    bold = book.add_format({"bold": True})
    sheet.merge_range("B2:D2", "A report of ours")
    sheet.write_row("B4", ["Name", "Sum", "State"])
    sheet.write_rich_string("B5", "half ", bold, "bold", " text")
    sheet.write_formula("C5", "=1+1", None, 2)
    sheet.write_formula("D5", '=UPPER("a")', None, "A")
    sheet.write_formula("B6", '=VLOOKUP("x",B1:B2,1)', None, "#N/A")
    sheet.write_formula("D6", "=TRUE()", None, True)
    sheet.write_string("B8", "after a blank row")
    sheet.write_number("C8", 7)
    sheet.set_row(8, None, None, {"hidden": True})
    sheet.write_string("B9", "hidden")
    sheet.set_column("D:D", None, None, {"hidden": True})
    sheet.write_string("B10", "carriage\r\nreturn")
    sheet.write_string("D10", "_x000D_ is text")
    sheet.write_string("F10", "far off")
    sheet.write_string("B12", "Total")
    sheet.write_formula("C12", "=SUM(C5:C10)", None, 9)
    book.close()


def main():
    with_openpyxl("openpyxl.xlsx")
    with_openpyxl("openpyxl-1904.xlsx", epoch=openpyxl.utils.datetime.CALENDAR_MAC_1904)
    with_openpyxl("openpyxl-iso.xlsx", iso=True)
    with_xlsxwriter("xlsxwriter.xlsx")
    with_xlsxwriter("xlsxwriter-inline.xlsx", constant_memory=True)
    with_xlsxwriter("xlsxwriter-1904.xlsx", date_1904=True)
    with_pyexcelerate("pyexcelerate.xlsx")
    with_xlwt("xlwt.xls")
    with_xlwt("xlwt-1904.xls", epoch_1904=True)
    long_texts("xlwt-long.xls")
    old_and_odd("xlwt-odd.xls")
    with_odfpy("odfpy.ods")
    odd_odf("odfpy-odd.ods")
    with_pyxlsbwriter("pyxlsbwriter.xlsb")
    for_others(sys.argv[1])
    protected("protected.xlsx")
    odd("odd.xlsx")
    with open("long.json", "w", encoding="utf-8") as file:
        json.dump(LONG, file, ensure_ascii=False, indent=1)
        file.write("\n")
    with open("expected.json", "w", encoding="utf-8") as file:
        json.dump([HEADER] + [[expected(value) for value in row] for row in ROWS], file, ensure_ascii=False, indent=1)
        file.write("\n")


main()
