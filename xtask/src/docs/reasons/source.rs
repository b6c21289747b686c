//! What a literal says in the source of a program.

use syn::{Expr, Lit};

pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}

/// One word in CamelCase.
pub(super) fn is_reason(text: &str) -> bool {
    text.len() > 2
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric())
        && text.contains(|letter: char| letter.is_ascii_lowercase())
}

/// The text of a literal, or of one that is made a String.
pub(in crate::docs) fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        Expr::MethodCall(call) if ["to_owned", "into", "to_string", "as_str"].iter().any(|name| call.method == *name) => {
            text(&call.receiver)
        }
        Expr::Reference(inner) => text(&inner.expr),
        Expr::Paren(inner) => text(&inner.expr),
        Expr::Group(inner) => text(&inner.expr),
        _ => None,
    }
}
