use proptest::prelude::*;

use super::*;

struct Header(Vec<&'static str>);

impl Columns for Header {
    fn find(&self, name: &str) -> Result<usize, String> {
        self.0.iter().position(|column| *column == name).ok_or_else(|| format!("there is no column {name:?}"))
    }
}

struct Row(Vec<String>);

impl Cells for Row {
    fn cell(&self, column: usize) -> &str {
        &self.0[column]
    }
}

fn header() -> Header {
    Header(vec!["First", "Last", "Amount", "Blank", "Odd]name", "Code"])
}

fn row() -> Row {
    Row(["Zoë", "  Lee  Roy ", "12.5", " ", "x", "01"].map(str::to_owned).to_vec())
}

fn value(source: &str) -> Result<String, String> {
    let value = Value::compile(source, &header()).map_err(|error| error.to_string())?;
    // Something stands in the buffer already and must stay.
    let mut out = "kept|".to_owned();
    value.write(&row(), &mut out).map_err(|error| error.to_string())?;
    Ok(out.strip_prefix("kept|").unwrap().to_owned())
}

#[test]
fn values_are_what_the_table_says() {
    let table = [
        // Texts and joining
        (r#""plain""#, "plain"),
        (r#""say ""hi""""#, r#"say "hi""#),
        (r#"[First] + " " + [Last]"#, "Zoë   Lee  Roy "),
        (r#"[First] & [Last] & 1"#, "Zoë  Lee  Roy 1"),
        (r#""n=" + 1 + 2"#, "n=12"),
        (r#"1 + 2 & "x""#, "3x"),
        (r#"[Odd]]name]"#, "x"),
        // Numbers
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("10 - 2 - 3", "5"),
        ("12 / 2 / 3", "2"),
        ("-2 * -3", "6"),
        ("- [Amount] + 1", "-11.5"),
        ("[Amount] * 2", "25"),
        ("0.1 + 0.2", "0.3"),
        ("1.5e3", "1500"),
        ("[Blank] * 2", ""),
        ("VALUE([Blank])", ""),
        (r#"VALUE("00123")"#, "123"),
        ("[Amount] + VALUE([Amount])", "25"),
        // Functions on texts count characters, not bytes
        ("LEN([First])", "3"),
        ("LEFT([First])", "Z"),
        ("LEFT([First], 2)", "Zo"),
        ("LEFT([First], 99)", "Zoë"),
        ("LEFT([First], 0)", ""),
        ("RIGHT([First])", "ë"),
        ("RIGHT([First], 2)", "oë"),
        ("RIGHT([First], 99)", "Zoë"),
        ("MID([First], 2, 1)", "o"),
        ("MID([First], 2, 99)", "oë"),
        ("MID([First], 9, 1)", ""),
        ("LEFT([First], 1.9)", "Z"),
        ("TRIM([Last])", "Lee Roy"),
        ("TRIM(UPPER([Last]) & \" \")", "LEE ROY"),
        ("UPPER([First])", "ZOË"),
        ("lower(\"ABC\")", "abc"),
        ("LOWER(\"ÄB\")", "äb"),
        (r#"SUBSTITUTE([Last], " ", "")"#, "LeeRoy"),
        (r#"SUBSTITUTE([First], "", "x")"#, "Zoë"),
        (r#"SUBSTITUTE("a" & "a", "a", "b" & "c")"#, "bcbc"),
        ("TEXT([Amount]) & \"|\"", "12.5|"),
        ("TEXT(1/4)", "0.25"),
        // Lengths and places are counted in UTF-16 units; a character that would be cut in two stays out
        (r#"LEN("a😀b")"#, "4"),
        (r#"LEFT("a😀b", 2)"#, "a"),
        (r#"LEFT("a😀b", 3)"#, "a😀"),
        (r#"RIGHT("a😀b", 2)"#, "b"),
        (r#"RIGHT("a😀b", 3)"#, "😀b"),
        (r#"MID("a😀b", 2, 1)"#, ""),
        (r#"MID("a😀b", 2, 2)"#, "😀"),
        (r#"MID("a😀b", 3, 1)"#, ""),
        (r#"MID("a😀b", 3, 2)"#, "b"),
        // Blanks are blanks of whatever kind
        ("TRIM(\"\u{A0}\u{200B}a \u{A0}b\u{A0}c\nd\u{3000}\")", "a b\u{A0}c\nd"),
        ("TRIM(\"\u{A0}\")", ""),
        ("\u{FEFF}1 +\u{200B}\u{A0}1", "2"),
        ("COALESCE(\"\u{A0}\", \"\u{3000}\", \"\u{1}\", [First])", "Zoë"),
        ("VALUE(\"\u{A0}12\u{A0}\") + 1", "13"),
        // Choices
        (r#"IF([Amount] > 12, "much", "little")"#, "much"),
        ("IF(TRUE, 1, 2) + 1", "2"),
        ("IF(FALSE, \"x\", 2)", "2"),
        ("COALESCE([Blank], [First], \"none\")", "Zoë"),
        ("COALESCE([Blank], 0) + 1", "1"),
        ("COALESCE([Blank], \"\")", ""),
        ("COALESCE(VALUE([Blank]), 3) + 1", "4"),
        (r#"MAP([First], {"Zoë": "Blue", "Two": "Red"}, "No Color")"#, "Blue"),
        (r#"MAP([Last], {"Zoë": "Blue"}, "No " & "Color")"#, "No Color"),
        (r#"MAP(1 + 1, {1: "one", 2: "two",})"#, "two"),
        // Conditions as text
        ("1 < 2", "true"),
        (r#"NOT(CONTAINS([First], "o"))"#, "false"),
    ];
    for (source, expected) in table {
        assert_eq!(value(source), Ok(expected.to_owned()), "{source}");
    }
}

#[test]
fn conditions_are_what_the_table_says() {
    let table = [
        (r#"AND([First] = "Zoë", LEN([Last]) > 0)"#, true),
        (r#"[First] = "zoë""#, false),
        (r#"[First] <> [Last]"#, true),
        (r#"OR([First] = "x", [First] = "Zoë")"#, true),
        (r#"OR(FALSE, FALSE)"#, false),
        (r#"NOT(TRUE)"#, false),
        ("[Amount] = 12.50", true),
        ("[Amount] >= 12.5", true),
        ("[Amount] <= 12", false),
        ("12 < [Amount]", true),
        // A blank is no number: nothing is greater or less than it.
        ("[Blank] = 0", false),
        ("[Blank] <> 0", true),
        ("[Blank] < 1", false),
        ("[Blank] > -1", false),
        ("VALUE([Blank]) = [Blank] * 2", true),
        ("ISBLANK([Blank])", true),
        ("ISBLANK([First])", false),
        ("ISBLANK(VALUE([Blank]))", true),
        ("ISBLANK(\"\u{A0}\u{3000}\t\u{200B}\u{FEFF}\u{1}\")", true),
        ("VALUE(\"007\") = 7", true),
        (r#"TEXT([Amount]) = "12.50""#, false),
        (r#"BEGINS([First], "Zo")"#, true),
        (r#"BEGINS([First], "zo")"#, false),
        (r#"CONTAINS([Last], "Lee")"#, true),
        (r#"TEXT([Amount]) > "12""#, true),
        (r#"[First] >= "Zo""#, true),
        ("ISBLANK([Blank]) = TRUE", true),
        ("ISBLANK([Blank]) <> TRUE", false),
        ("IF(ISBLANK([Blank]), TRUE, FALSE)", true),
        // The second is never looked at: it would fail.
        ("AND(FALSE, VALUE([First]) > 1)", false),
        ("OR(TRUE, VALUE([First]) > 1)", true),
    ];
    let mut scratch = String::new();
    for (source, expected) in table {
        let condition = Condition::compile(source, &header()).unwrap_or_else(|error| panic!("{source}: {error}"));
        assert_eq!(condition.holds(&row(), &mut scratch), Ok(expected), "{source}");
    }
}

#[test]
fn formulas_that_cannot_be_used_say_where_and_what_to_do() {
    let table = [
        ("", "character 1: the formula is empty"),
        ("  ", "character 1: the formula is empty"),
        ("[Frist] + 1", "character 1: there is no column \"Frist\""),
        ("1 + [First", "character 5: this column name is never closed: its ] is missing, or is a ] in the name, which is written ]]"),
        ("\"abc", "character 1: this text is never closed: its last quote is missing"),
        ("LEFT(‘x’, 1)", "character 6: '‘' means nothing here: texts stand in \"straight double quotes\""),
        ("IF(TRUE; 1; 2)", "character 8: ';' means nothing here: arguments are separated by a comma"),
        ("[First] == \"x\"", "character 10: expected a column, text, number or function, found \"=\"; equal is written ="),
        ("[First] != \"x\"", "character 9: '!' means nothing here: not equal is written <>"),
        ("TRUE && FALSE", "character 7: expected a column, text, number or function, found \"&\"; write AND(a, b)"),
        ("LEFT([First], 1", "character 16: expected a comma or a closing parenthesis, found the end"),
        ("(1 + 2", "character 7: expected a closing parenthesis, found the end"),
        ("1 2", "character 3: expected an operator or the end, found a number"),
        ("\"a\" b \"c\"", "character 5: expected an operator or the end, found b; a quote inside a text is written twice"),
        ("1e", "character 1: \"1e\" is not a number"),
        ("1e999", "character 1: \"1e999\" is not a number"),
        ("[First] = 01", "character 11: the number 01 reads as 1; write \"01\" if it is a code, 1 if it is a number"),
        ("1 < 007", "character 5: the number 007 reads as 7; write \"007\" if it is a code, 7 if it is a number"),
        ("MAP([First], {01: \"North\"})", "character 15: the number 01 reads as 1; write \"01\" if it is a code, 1 if it is a number"),
        (
            "MAP([First], {\"01\": 007}, \"?\")",
            "character 21: the number 007 reads as 7; write \"007\" if it is a code, 7 if it is a number",
        ),
        (
            "MAP([First], {1.50: \"x\"})",
            "character 15: the number 1.50 reads as 1.5; write \"1.50\" if it is a code, 1.5 if it is a number",
        ),
        (
            "MAP([First], {12345678901234567: 1})",
            "character 15: the number 12345678901234567 reads as 12345678901234600; write \"12345678901234567\" if it is a code, 12345678901234600 if it is a number",
        ),
        ("LENGTH([First])", "character 1: there is no function LENGTH"),
        ("LENN([First])", "character 1: there is no function LENN, did you mean LEN?"),
        ("First & \"x\"", "character 1: unknown name First; columns are written [First], texts \"First\""),
        ("IF([First] = \"x\", 1)", "character 1: IF is written IF(condition, then, else); this has 2 arguments"),
        (
            "AND([First], TRUE)",
            "character 5: this is a column, but true or false is needed; compare it with something, as in [Active] = \"true\"",
        ),
        ("\"a\" * 2", "character 1: this is a text, but a number is needed; make it one with VALUE(…), or join texts with &"),
        ("VALUE(TRUE)", "character 1: this is true or false, but a number is needed; make it one with VALUE(…), or join texts with &"),
        (
            "[First] + [Last]",
            "character 9: + between two columns could mean texts or numbers; join texts with &, add numbers with VALUE([A]) + VALUE([B])",
        ),
        (
            "[First] < [Last]",
            "character 9: this comparison of two columns could mean texts or numbers; write VALUE([A]) for a number or TEXT([A]) for a text",
        ),
        ("LEN([First]) = \"3\"", "character 14: a number cannot be compared with a text; make them alike with VALUE(…) or TEXT(…)"),
        ("[First] = TRUE", "character 9: a column cannot be compared with true or false; a column holds text, as in [Active] = \"true\""),
        ("{\"a\": 1}", "character 1: a dictionary stands only behind the first argument of MAP"),
        ("MAP([First], \"a\")", "character 14: the second argument of MAP is a dictionary, as in {\"One\": \"Blue\", \"Two\": \"Red\"}"),
        ("MAP([First], {\"a\": 1, \"a\": 2})", "character 23: the dictionary has \"a\" twice"),
        ("MAP([First], {\"a\" 1})", "character 19: expected a colon between key and value, found a number"),
    ];
    for (source, expected) in table {
        assert_eq!(value(source).unwrap_err(), expected, "{source}");
    }
    let filter = Condition::compile("LEN([First])", &header()).unwrap_err().to_string();
    assert!(filter.starts_with("character 1: this is a number, but true or false is needed"), "{filter}");
}

#[test]
fn rows_that_have_no_value_say_why() {
    let table = [
        ("VALUE([First])", "\"Zoë\" is not a number; write it like 1234.5, without currency or group separators"),
        ("[First] > 1", "\"Zoë\" is not a number; write it like 1234.5, without currency or group separators"),
        (
            "IF(TRIM(\"01\") = \"1\", 0, IF(TRUE, [Code], 2)) = 1",
            "\"01\" begins with a zero, as codes do, but is compared with a number; write VALUE(…) if it is the number 1, else compare it with a text in quotes",
        ),
        (
            "[Code] <> 10",
            "\"01\" begins with a zero, as codes do, but is compared with a number; write VALUE(…) if it is the number 1, else compare it with a text in quotes",
        ),
        ("VALUE(\"1\u{A0}000\")", "\"1<U+00A0>000\" is not a number; write it like 1234.5, without currency or group separators"),
        ("1 / 0", "division by zero"),
        ("1e308 * 10", "the result of a calculation is too large"),
        ("LEFT([First], -1)", "the count of LEFT is -1, but must be 0 or more"),
        ("MID([First], 0, 1)", "the start of MID is 0, but must be 1 or more"),
        ("RIGHT([First], [Blank])", "the count of RIGHT is blank, but must be 0 or more"),
        ("MAP([First], {\"a\": 1})", "MAP has no entry for \"Zoë\"; add it, or a default as third argument"),
        (
            "VALUE(\"12345678901234567\")",
            "\"12345678901234567\" has more than 15 digits and cannot be calculated with exactly; use it as text",
        ),
    ];
    for (source, expected) in table {
        assert_eq!(value(source).unwrap_err(), expected, "{source}");
    }
}

#[test]
fn a_formula_is_bounded_in_length_depth_and_result() {
    let long = format!("\"{}\"", "x".repeat(MAX_LENGTH));
    assert_eq!(value(&long).unwrap_err(), "character 1: the formula has more than 4096 characters");
    for deep in [
        format!("{}1{}", "(".repeat(1000), ")".repeat(1000)),
        format!("{}TRUE{}", "NOT(".repeat(500), ")".repeat(500)),
        format!("{}1", "-".repeat(3000)),
        format!("1{}", "-1".repeat(1000)),
        format!("1{}", "=1".repeat(1000)),
    ] {
        let error = value(&deep).unwrap_err();
        assert!(error.contains("nested deeper than 128 levels"), "{error}");
    }
    let mut bomb = "\"aaaaaaaaaa\"".to_owned();
    for _ in 0..12 {
        bomb = format!("SUBSTITUTE({bomb}, \"a\", \"aaaaaaaaaa\")");
    }
    assert_eq!(value(&bomb).unwrap_err(), "the text becomes longer than 400000 bytes");
}

fn fragment() -> impl Strategy<Value = String> {
    let words = FUNCTIONS.iter().map(|signature| format!("{}(", signature.name)).chain(
        [
            "[First]", "[Last]", "[Amount]", "[Blank]", "[", "]", "\"a\"", "\"", "\"\"", "1", "0", "-", "2.5", "1e308", "+", "*", "/", "&",
            "=", "<>", "<", ">=", "(", ")", ")", ",", ",", "{", "}", ":", "TRUE", "ë", " ",
        ]
        .map(str::to_owned),
    );
    proptest::collection::vec(proptest::sample::select(words.collect::<Vec<_>>()), 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_compiles_or_is_refused_with_a_place_inside(source in prop_oneof![fragment(), ".{0,60}"]) {
        match Value::compile(&source, &header()) {
            Ok(formula) => {
                let mut out = "kept".to_owned();
                let _ = formula.write(&row(), &mut out);
                prop_assert!(out.starts_with("kept"));
            }
            Err(error) => prop_assert!(error.at >= 1 && error.at <= source.chars().count() + 1, "{}", error),
        }
    }

    #[test]
    fn good_formulas_never_panic_on_any_cells(
        first in any::<String>(), last in "[ -~]{0,12}", amount in prop_oneof![any::<f64>().prop_map(|n| n.to_string()), ".{0,8}"],
        source in proptest::sample::select(vec![
            "LEFT([First], [Amount]) & MID([Last], [Amount], 2) & RIGHT([First], 3)",
            "SUBSTITUTE([First], LEFT([First]), [Last])", "[Amount] * [Amount] / ([Amount] - 1)", "TRIM([First]) & UPPER([Last])",
            "IF([Amount] > 1, COALESCE([Blank], [First]), LOWER([First]))", "MAP([Last], {\"a\": 1}, TEXT([Amount] + 1))",
        ]),
    ) {
        let row = Row(vec![first, last, amount, String::new(), String::new(), String::new()]);
        let formula = Value::compile(source, &header()).unwrap();
        let mut out = String::new();
        let _ = formula.write(&row, &mut out);
    }
}

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

proptest! {
    #[test]
    fn parts_are_those_of_the_utf16_text_and_never_cut_a_character(text in "[a-cë日😀𝕏]{0,8}", start in 1usize..10, count in 0usize..10) {
        let run = |source: String| value(&source).unwrap();
        let whole = units(&text);
        prop_assert_eq!(run(format!("LEN(\"{text}\")")), whole.len().to_string());
        let from = (start - 1).min(whole.len());
        let parts = [
            (format!("LEFT(\"{text}\", {count})"), &whole[..count.min(whole.len())]),
            (format!("RIGHT(\"{text}\", {count})"), &whole[whole.len().saturating_sub(count)..]),
            (format!("MID(\"{text}\", {start}, {count})"), &whole[from..(from + count).min(whole.len())]),
        ];
        for (source, part) in parts {
            // Half a character at either end stays out; nothing else does.
            let kept: String = char::decode_utf16(part.iter().copied()).filter_map(Result::ok).collect();
            prop_assert_eq!(run(source), kept);
        }
    }

    /// A key of MAP matches exactly the cell that looks like it, or is refused.
    #[test]
    fn a_number_matches_the_cell_that_looks_like_it_or_is_refused(number in "[0-9]{1,4}(\\.[0-9]{1,3})?", cell in "[0-9]{1,4}(\\.[0-9]{1,3})?") {
        for written in [&number, &cell] {
            match Value::compile(&format!("MAP([First], {{{written}: \"hit\"}}, \"miss\")"), &header()) {
                Ok(formula) => {
                    let mut out = String::new();
                    let row = Row(vec![cell.clone(); 6]);
                    formula.write(&row, &mut out).unwrap();
                    prop_assert_eq!(out == "hit", *written == cell);
                }
                Err(error) => prop_assert!(matches!(error.problem, Problem::NumberLikeCode { .. }), "{}", error),
            }
        }
    }
}
