//! Reasons that a known function takes: of a Finding, of Conditions, of an event, of an attempt.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use syn::visit::{self, Visit};
use syn::{
    BinOp, Expr, ExprBinary, ExprCall, ExprMethodCall, ExprStruct, ExprTuple, ImplItemFn, ItemConst, ItemFn, ItemMod, LitStr, Local,
    Member, Pat,
};

use super::source::{is_reason, is_test, text};

/// Literals of the files that are read that are no reason.
pub(super) const NOT_REASONS: &[&str] = &[
    "ClusterRole",
    "ConfigMap",
    "Connection",
    "ImportJob",
    "ImportRun",
    "Pod",
    "Service",
    "ServiceAccount",
    "User", // kinds
    "DisruptionTarget",
    "Image",
    "Never",
    "PodScheduled",
    "RuntimeDefault", // what pods say
    "Fleet",
    "Flux",
    "Helm",                      // tools that manage Secrets
    "CredentialOrphanDestroyed", // lines of the audit
];

/// How a function shows the reason that it takes: the place of the reason among its arguments (the message is the next one), and what is
/// seen then. `{}` stands for the condition's type, which is the argument before.
const WRITERS: &[(&str, usize, &str)] = &[
    ("ready", 0, "Ready=True"),
    ("progressing", 0, "Ready=Unknown, Reconciling=True"),
    ("waiting", 0, "Ready=False, Reconciling=True"),
    ("wait", 0, "Ready=False, Reconciling=True"),
    ("refusal", 0, "Ready=False, Reconciling=True"),
    ("stalled", 0, "Ready=False, Stalled=True"),
    ("stall", 0, "Ready=False, Stalled=True"),
    ("with_true", 1, "{}=True"),
    ("with_false", 1, "{}=False"),
    ("with_unknown", 1, "{}=Unknown"),
    ("counted", 0, "an attempt that counts"),
    ("disrupted", 0, "an attempt that does not count"),
    ("normal", 1, "event"),
    ("warning", 1, "event (warning)"),
    ("pending", 3, "Ready=False, Reconciling=True"),
];

/// Where a reason is seen, the reason, and what is said with it.
pub(super) type Row = (String, String, String);

/// The types of conditions by the constants that name them.
pub(super) fn condition_types(source: &str) -> Result<BTreeMap<String, String>> {
    #[derive(Default)]
    struct Constants(BTreeMap<String, String>);
    impl<'ast> Visit<'ast> for Constants {
        fn visit_item_const(&mut self, item: &'ast ItemConst) {
            if let Some(value) = text(&item.expr) {
                self.0.insert(item.ident.to_string(), value);
            }
        }
    }
    let mut constants = Constants::default();
    constants.visit_file(&syn::parse_file(source)?);
    ensure!(constants.0.contains_key("READY"), "there is no constant READY among the types of conditions");
    Ok(constants.0)
}

/// The reasons of one file.
pub(super) struct Found<'a> {
    types: &'a BTreeMap<String, String>,
    pub(super) rows: BTreeSet<Row>,
    /// Literals in CamelCase that stand nowhere where a reason stands.
    pub(super) unread: BTreeSet<String>,
    /// Texts of local names, as far as they were read.
    known: BTreeMap<String, String>,
}

pub(super) fn found<'a>(source: &str, types: &'a BTreeMap<String, String>) -> Result<Found<'a>> {
    let mut found = Found { types, rows: BTreeSet::new(), unread: BTreeSet::new(), known: BTreeMap::new() };
    let (file, mut audit) = (syn::parse_file(source)?, AuditLines::default());
    found.visit_file(&file);
    audit.visit_file(&file);
    let read: BTreeSet<&String> = found.rows.iter().map(|(_, reason, _)| reason).chain(&audit.0).collect();
    found.unread.retain(|word| !read.contains(word));
    Ok(found)
}

impl Found<'_> {
    fn call(&mut self, function: &str, arguments: &[&Expr]) {
        for (_, at, seen) in WRITERS.iter().filter(|(name, ..)| *name == function) {
            let Some(reason) = arguments.get(*at).and_then(|reason| text(reason)).filter(|reason| is_reason(reason)) else { continue };
            let of = at.checked_sub(1).and_then(|before| arguments.get(before)).and_then(|type_| self.name(type_)).unwrap_or_default();
            let message = arguments.get(at + 1).and_then(|message| self.told(message)).unwrap_or_default();
            self.rows.insert((seen.replace("{}", &of), reason, message));
        }
    }

    fn refusal(&mut self, reason: &Expr, message: &Expr) {
        if let (Some(reason), Some(message)) = (text(reason).filter(|reason| is_reason(reason)), self.told(message)) {
            self.rows.insert((format!("{}=True", self.types.get("ROTATION_REFUSED").map_or("", String::as_str)), reason, message));
        }
    }

    fn ending(&mut self, reason: &Expr) {
        self.rows.extend(text(reason).filter(|reason| is_reason(reason)).map(|reason| ("an attempt".to_owned(), reason, String::new())));
    }

    /// The type of a condition, from a constant or a local name for one.
    fn name(&self, type_: &Expr) -> Option<String> {
        let Expr::Path(path) = type_ else { return None };
        let name = path.path.segments.last()?.ident.to_string();
        self.types.get(&name).or_else(|| self.known.get(&name)).cloned()
    }

    /// What a message says, as far as the code does.
    fn told(&self, message: &Expr) -> Option<String> {
        match message {
            Expr::Path(path) => self.known.get(&path.path.get_ident()?.to_string()).cloned(),
            Expr::Reference(inner) => self.told(&inner.expr),
            _ => text(message),
        }
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        if !is_test(&item.attrs) {
            self.known.clear();
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.known.clear();
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if let (Pat::Ident(name), Some(init)) = (&local.pat, &local.init) {
            let name = name.ident.to_string();
            match text(&init.expr).or_else(|| self.name(&init.expr)) {
                Some(value) => self.known.insert(name, value),
                None => self.known.remove(&name),
            };
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(function) = &*call.func
            && let Some(last) = function.path.segments.last()
        {
            self.call(&last.ident.to_string(), &call.args.iter().collect::<Vec<_>>());
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.call(&call.method.to_string(), &call.args.iter().collect::<Vec<_>>());
        visit::visit_expr_method_call(self, call);
    }

    /// `("Reason", message, …)` and `Refusal { reason: "Reason", message, … }`: of a request for new keys that is not obeyed.
    fn visit_expr_tuple(&mut self, tuple: &'ast ExprTuple) {
        if let [reason, message] = tuple.elems.iter().take(2).collect::<Vec<_>>()[..] {
            self.refusal(reason, message);
        }
        visit::visit_expr_tuple(self, tuple);
    }

    fn visit_expr_struct(&mut self, literal: &'ast ExprStruct) {
        let field = |name: &str| {
            literal.fields.iter().find(|field| matches!(&field.member, Member::Named(known) if known == name)).map(|field| &field.expr)
        };
        match (literal.path.get_ident(), field("reason"), field("message")) {
            (Some(name), Some(reason), _) if name == "Ending" => self.ending(reason),
            (_, Some(reason), Some(message)) => self.refusal(reason, message),
            _ => {}
        }
        visit::visit_expr_struct(self, literal);
    }

    /// What is compared with a literal is written elsewhere.
    fn visit_pat(&mut self, _: &'ast Pat) {}

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        if !matches!(binary.op, BinOp::Eq(_) | BinOp::Ne(_)) {
            visit::visit_expr_binary(self, binary);
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast LitStr) {
        self.unread.extend(Some(literal.value()).filter(|word| is_reason(word)));
    }
}

/// Words of lines of the audit, which are no reasons.
#[derive(Default)]
struct AuditLines(BTreeSet<String>);

impl<'ast> Visit<'ast> for AuditLines {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        let named =
            |expr: &Expr| matches!(expr, Expr::Path(path) if path.path.segments.iter().map(|s| s.ident.to_string()).eq(["Event", "new"]));
        if named(&call.func) {
            self.0.extend(call.args.first().and_then(text));
        }
        visit::visit_expr_call(self, call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> BTreeMap<String, String> {
        condition_types("pub const READY: &str = \"Ready\"; pub const KEYS_READY: &str = \"KeysReady\";").unwrap()
    }

    fn rows(source: &str) -> Vec<Row> {
        let types = types();
        let found = found(source, &types).unwrap();
        assert!(found.unread.is_empty(), "{:?}", found.unread);
        found.rows.into_iter().collect()
    }

    fn row(seen: &str, reason: &str, message: &str) -> Row {
        (seen.to_owned(), reason.to_owned(), message.to_owned())
    }

    #[test]
    fn a_reason_is_found_with_what_it_does_and_says() {
        let source = r#"
            fn rule(n: usize) -> Finding {
                let message = format!("{n} are {{missing}}: bring them");
                if n > 3 { return Finding::stalled("TooMany", message); }
                conditions.with_false(KEYS_READY, "NoKeys", &message);
                Finding::waiting("OneLess", "wait")
            }
        "#;
        assert_eq!(
            rows(source),
            [
                row("KeysReady=False", "NoKeys", "… are {missing}: bring them"),
                row("Ready=False, Reconciling=True", "OneLess", "wait"),
                row("Ready=False, Stalled=True", "TooMany", "… are {missing}: bring them"),
            ]
        );
    }

    #[test]
    fn a_word_that_no_known_function_takes_is_told() {
        let types = types();
        let found = found("fn f() { tell(\"PlantedReason\", \"Said to people\", \"lower\"); if x == \"Compared\" {} }", &types).unwrap();
        assert_eq!(found.unread.into_iter().collect::<Vec<_>>(), ["PlantedReason"]);
    }

    #[test]
    fn tests_and_the_audit_hold_no_reasons() {
        assert_eq!(
            rows("fn f() { Event::new(\"KeyRotated\"); } #[cfg(test)] mod tests { fn g() { Finding::ready(\"Planted\", \"\"); } }"),
            []
        );
    }
}
