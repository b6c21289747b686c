//! What a literal says in the source of a program.

use syn::{Expr, Lit, LitStr};

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

/// The text of a literal, of one made a String, or of `format!` with `…` where values go.
pub(in crate::docs) fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        Expr::Macro(call) if call.mac.path.is_ident("format") => first_literal(call.mac.tokens.clone()),
        Expr::MethodCall(call) if ["to_owned", "into", "to_string", "as_str"].iter().any(|name| call.method == *name) => {
            text(&call.receiver)
        }
        Expr::Reference(inner) => text(&inner.expr),
        Expr::Paren(inner) => text(&inner.expr),
        Expr::Group(inner) => text(&inner.expr),
        _ => None,
    }
}

/// The literal with which a macro begins, `…` for what it fills in.
pub(super) fn first_literal(tokens: proc_macro2::TokenStream) -> Option<String> {
    let first = tokens.into_iter().next()?;
    Some(filled(&syn::parse2::<LitStr>(first.into()).ok()?.value()))
}

fn filled(template: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.peek() == Some(&letter) && depth == 0 => {
                letters.next();
                out.push(letter);
            }
            '{' => {
                depth += 1;
                out.push('…');
            }
            '}' => depth -= 1,
            _ if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}
