//! Reasons that an error gives itself: what `reason()` names of the list beside it.

use std::collections::BTreeSet;

use anyhow::Result;
use syn::visit::{self, Visit};
use syn::{Expr, ImplItemFn, ItemMod, LitStr};

use super::list::constant;
use super::source::{is_reason, is_test};

/// What one file takes of its list, and words that it writes without.
#[derive(Default)]
pub(super) struct Given {
    pub(super) constants: BTreeSet<String>,
    pub(super) unlisted: BTreeSet<String>,
    inside: bool,
}

pub(super) fn given(source: &str) -> Result<Given> {
    let mut given = Given::default();
    given.visit_file(&syn::parse_file(source)?);
    Ok(given)
}

impl<'ast> Visit<'ast> for Given {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.inside = item.sig.ident == "reason";
        visit::visit_impl_item_fn(self, item);
        self.inside = false;
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        self.constants.extend(constant(expr).filter(|_| self.inside));
        visit::visit_expr(self, expr);
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.unlisted.extend(Some(literal.value()).filter(|word| self.inside && is_reason(word)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_error_gives_is_read_with_what_no_list_has() {
        let source = r#"
            impl Error {
                fn reason(&self) -> &'static str {
                    match self { Self::Gone(_) => reasons::GONE, Self::Late { .. } => { crate::reasons::LATE }, Self::Odd => "Odd", Self::Other(inner) => inner.reason() }
                }
                fn code(&self) -> &'static str { reasons::ELSEWHERE; "Elsewhere" }
            }
        "#;
        let given = given(source).unwrap();
        assert_eq!(given.constants.into_iter().collect::<Vec<_>>(), ["GONE", "LATE"]);
        assert_eq!(given.unlisted.into_iter().collect::<Vec<_>>(), ["Odd"]);
    }
}
