//! Tables of Markdown.

/// Text as a cell: one line, and no bar that would end it.
pub(super) fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Code within a line, with the bars of a table escaped. Text that has backticks itself stands between longer ones.
pub(super) fn code(text: &str) -> String {
    let (ticks, space) = if text.contains('`') { ("``", " ") } else { ("`", "") };
    format!("{ticks}{space}{}{space}{ticks}", text.replace('|', "\\|"))
}

/// Cells are not escaped here.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(header.to_vec());
    text.push_str(&format!("|{}\n", "---|".repeat(N)));
    rows.iter().for_each(|row| text.push_str(&line(row.iter().map(String::as_str).collect())));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_in_its_table() {
        let rows = [[cell("one | two\n  three"), code("a|b")], [code("`"), String::new()]];
        assert_eq!(table(["A", "B"], &rows), "| A | B |\n|---|---|\n| one \\| two three | `a\\|b` |\n| `` ` `` |  |\n");
    }
}
