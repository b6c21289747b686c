// Writes the table of make.py with SheetJS, and odd cells of kinds that others do not write.
"use strict";
const fs = require("fs");
const XLSX = require(process.argv[2]);
const { header, formats, rows } = JSON.parse(fs.readFileSync(process.argv[3], "utf-8"));

function cell(value, format) {
  const kind = { number: "n", boolean: "b", string: "s" }[typeof value];
  return { t: kind, v: value, ...(format && { z: format }) };
}

function book() {
  const cells = {};
  [header, ...rows].forEach((row, r) =>
    row.forEach((value, c) => {
      cells[XLSX.utils.encode_cell({ r, c })] = cell(value, r > 0 && formats[c]);
    }),
  );
  cells["!ref"] = XLSX.utils.encode_range({ s: { r: 0, c: 0 }, e: { r: rows.length, c: header.length - 1 } });
  return { SheetNames: ["Accounts"], Sheets: { Accounts: cells } };
}

function odd() {
  const cells = { "!ref": "A1:F12" };
  const put = (row, ...values) =>
    values.forEach((value, c) => {
      if (value !== null) cells[XLSX.utils.encode_cell({ r: row - 1, c: c + 1 })] = typeof value === "object" ? value : cell(value);
    });
  put(2, "Name", "Sum", "State");
  put(3, "half bold", -1.25, true);
  put(4, { t: "e", v: 0x2a });
  put(5, "rk", 0.25, false);
  put(7, "hidden", 12345678, false);
  put(9, "far", null, null, null, "off");
  cells["!rows"] = Array.from({ length: 12 }, (_, row) => ({ hidden: row === 6 }));
  cells["!cols"] = [{}, {}, { hidden: true }];
  const notes = XLSX.utils.aoa_to_sheet([["nothing here"]]);
  return {
    SheetNames: ["Notes", "Data"],
    Sheets: { Notes: notes, Data: cells },
    Workbook: { Sheets: [{ Hidden: 1 }, { Hidden: 0 }] },
  };
}

XLSX.writeFile(book(), "sheetjs.xlsb", { bookType: "xlsb", bookSST: true, compression: true });
XLSX.writeFile(book(), "sheetjs-inline.xlsb", { bookType: "xlsb", compression: true });
XLSX.writeFile(odd(), "sheetjs-odd.xlsb", { bookType: "xlsb", compression: true });
