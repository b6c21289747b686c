//! Reasons that an error gives itself: the arms of `reason()`, and the message at the variant that each names.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use syn::visit::{self, Visit};
use syn::{Arm, Expr, ImplItemFn, ItemConst, ItemEnum};

use super::source::{first_literal, text};

/// The arms of `reason()`, each with the message of the variants that it names.
pub(super) fn messages(source: &str) -> Result<BTreeSet<(String, String)>> {
    let mut errors = Errors::default();
    errors.visit_file(&syn::parse_file(source)?);
    ensure!(!errors.rows.is_empty(), "no reason was found");
    let mut rows = BTreeSet::new();
    for (variants, reason) in errors.rows {
        let messages: Vec<&String> = variants.iter().filter_map(|variant| errors.messages.get(variant)).collect();
        if messages.is_empty() {
            rows.insert((reason.clone(), String::new()));
        }
        rows.extend(messages.into_iter().map(|message| (reason.clone(), message.clone())));
    }
    Ok(rows)
}

#[derive(Default)]
struct Errors {
    messages: BTreeMap<String, String>,
    constants: BTreeMap<String, String>,
    rows: Vec<(Vec<String>, String)>,
    inside: bool,
}

impl<'ast> Visit<'ast> for Errors {
    fn visit_item_const(&mut self, item: &'ast ItemConst) {
        self.constants.extend(text(&item.expr).map(|value| (item.ident.to_string(), value)));
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        for variant in &item.variants {
            let message = variant.attrs.iter().filter(|attribute| attribute.path().is_ident("error"));
            let message =
                message.filter_map(|attribute| attribute.meta.require_list().ok()).find_map(|list| first_literal(list.tokens.clone()));
            self.messages.extend(message.map(|message| (variant.ident.to_string(), message)));
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.inside = item.sig.ident == "reason";
        visit::visit_impl_item_fn(self, item);
        self.inside = false;
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        let word = match &*arm.body {
            Expr::Path(path) => path.path.get_ident().and_then(|name| self.constants.get(&name.to_string())).cloned(),
            body => text(body),
        };
        if let Some(word) = word.filter(|_| self.inside) {
            let mut variants = Variants(Vec::new());
            variants.visit_pat(&arm.pat);
            self.rows.push((variants.0, word));
        }
        visit::visit_arm(self, arm);
    }
}

/// The variants of `Self` that a pattern names.
struct Variants(Vec<String>);

impl<'ast> Visit<'ast> for Variants {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let [this, variant] = names.as_slice()
            && this == "Self"
        {
            self.0.push(variant.clone());
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_reason_has_the_messages_of_its_variants() {
        let source = r#"
            const GONE: &str = "Gone";
            enum Error {
                #[error("{0} is gone")]
                Gone(String),
                #[error("late, by {} s", after.as_secs())]
                Late { after: Duration },
                #[error(transparent)]
                Other(Inner),
            }
            impl Error {
                fn reason(&self) -> &'static str {
                    match self { Self::Gone(_) => GONE, Self::Late { .. } => "Late", Self::Other(inner) => inner.reason() }
                }
            }
        "#;
        let found: Vec<_> = messages(source).unwrap().into_iter().collect();
        assert_eq!(
            found,
            [("Gone", "… is gone"), ("Late", "late, by … s")].map(|(reason, message)| (reason.to_owned(), message.to_owned()))
        );
    }
}
