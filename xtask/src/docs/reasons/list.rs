//! A list of reasons: the documented constants of one file.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use syn::{Attribute, Expr, Item, Meta};

use super::source::text;

/// A reason and what it means, by the name of the constant.
pub(super) type List = BTreeMap<String, (String, String)>;

pub(super) fn list(source: &str) -> Result<List> {
    let mut list = List::new();
    for item in syn::parse_file(source)?.items {
        let Item::Const(item) = item else { continue };
        let name = item.ident.to_string();
        let reason = text(&item.expr).with_context(|| format!("{name} is no text"))?;
        let meaning = docs(&item.attrs);
        ensure!(!meaning.is_empty(), "{name} does not say what {reason} means");
        ensure!(list.values().all(|(known, _)| *known != reason), "{reason} is listed twice");
        list.insert(name, (reason, meaning));
    }
    ensure!(!list.is_empty(), "the list is empty");
    Ok(list)
}

fn docs(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => text(&doc.value),
        _ => None,
    });
    lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join(" ")
}

/// The constant of a list that an expression names: `reasons::NAME`, by which every file calls the list that it writes from.
pub(super) fn constant(expr: &Expr) -> Option<String> {
    let Expr::Path(path) = expr else { return None };
    let [.., list, name] = &path.path.segments.iter().collect::<Vec<_>>()[..] else { return None };
    (list.ident == "reasons").then(|| name.ident.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_each_reason_means() {
        let source = "/// All went\n/// well.\npub const DONE: &str = \"Done\";";
        assert_eq!(list(source).unwrap(), List::from([("DONE".into(), ("Done".into(), "All went well.".into()))]));
    }

    #[test]
    fn a_reason_without_a_meaning_or_listed_twice_is_an_error() {
        for (source, expected) in [
            ("pub const DONE: &str = \"Done\";", "does not say what Done means"),
            ("/// A.\nconst A: &str = \"Done\";\n/// B.\nconst B: &str = \"Done\";", "Done is listed twice"),
            ("", "empty"),
        ] {
            let error = list(source).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
