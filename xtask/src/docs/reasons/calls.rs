//! Where the reasons of a list are taken: by a Finding, by Conditions, by an event, by an attempt.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use syn::visit::{self, Visit};
use syn::{
    BinOp, Expr, ExprBinary, ExprCall, ExprMethodCall, ExprStruct, ExprTuple, ImplItemFn, ItemConst, ItemFn, ItemMod, LitStr, Local,
    Member, Pat, UseRename, UseTree,
};

use super::list::constant;
use super::source::{is_reason, is_test, text};

/// Literals of the files that are read that are no reason.
pub(super) const NOT_REASONS: &[&str] = &[
    "ClusterRole",
    "ConfigMap",
    "Connection",
    "ImportRun",
    "Pod",
    "Region",
    "Service",
    "ServiceAccount",
    "Tenant",
    "User", // kinds
    "DisruptionTarget",
    "Image",
    "Never",
    "PodScheduled",
    "RuntimeDefault", // what pods say
    "Fleet",
    "Flux",
    "Helm", // tools that manage Secrets
    "BookmarkDestroyed",
    "CredentialOrphanDestroyed",
    "RevocationFailed", // lines of the audit
];

/// How a function shows the reason that it takes: the place of the reason among its arguments, and what is seen then. `{}` stands for the condition's type, which is the argument before.
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
    ("not_yet", 0, "Rebound=False"),
];

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

/// What one file does with the reasons of its kind.
pub(super) struct Found<'a> {
    types: &'a BTreeMap<String, String>,
    /// Constants of the list, each with what is seen where it is taken.
    pub(super) taken: BTreeSet<(String, String)>,
    /// Literals that stand where a reason is taken.
    pub(super) written: BTreeSet<String>,
    /// Other literals in CamelCase: a reason that is written in a way that this does not read, or a word that is none.
    pub(super) unlisted: BTreeSet<String>,
    /// The lists that the file imports as `reasons`.
    pub(super) lists: BTreeSet<String>,
    /// Types of conditions by local names.
    known: BTreeMap<String, String>,
}

pub(super) fn found<'a>(source: &str, types: &'a BTreeMap<String, String>) -> Result<Found<'a>> {
    let mut found = Found {
        types,
        taken: BTreeSet::new(),
        written: BTreeSet::new(),
        unlisted: BTreeSet::new(),
        lists: BTreeSet::new(),
        known: BTreeMap::new(),
    };
    found.visit_file(&syn::parse_file(source)?);
    Ok(found)
}

impl Found<'_> {
    fn call(&mut self, function: &str, arguments: &[&Expr]) {
        for (_, at, seen) in WRITERS.iter().filter(|(name, ..)| *name == function) {
            let Some(reason) = arguments.get(*at) else { continue };
            self.written.extend(text(reason).filter(|word| is_reason(word)));
            let Some(reason) = constant(reason) else { continue };
            let of = at.checked_sub(1).and_then(|before| arguments.get(before)).and_then(|type_| self.name(type_)).unwrap_or_default();
            self.taken.insert((reason, seen.replace("{}", &of)));
        }
    }

    fn refusal(&mut self, reason: &Expr) {
        let seen = format!("{}=True", self.types.get("ROTATION_REFUSED").map_or("", String::as_str));
        self.taken.extend(constant(reason).map(|reason| (reason, seen)));
    }

    /// The type of a condition, from a constant or a local name for one.
    fn name(&self, type_: &Expr) -> Option<String> {
        let Expr::Path(path) = type_ else { return None };
        let name = path.path.segments.last()?.ident.to_string();
        self.types.get(&name).or_else(|| self.known.get(&name)).cloned()
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_test(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    /// `use api::reasons::{list} as reasons`.
    fn visit_use_tree(&mut self, tree: &'ast UseTree) {
        if let UseTree::Path(path) = tree
            && path.ident == "reasons"
            && let UseTree::Rename(UseRename { ident, rename, .. }) = &*path.tree
            && rename == "reasons"
        {
            self.lists.insert(ident.to_string());
        }
        visit::visit_use_tree(self, tree);
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
            match self.name(&init.expr) {
                Some(value) => self.known.insert(name, value),
                None => self.known.remove(&name),
            };
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if is_audit_line(&call.func) {
            return call.args.iter().skip(1).for_each(|argument| self.visit_expr(argument));
        }
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

    /// `(reasons::ONE, message, …)` and `Refusal { reason: reasons::ONE, … }`: of a request for new keys that is not obeyed.
    fn visit_expr_tuple(&mut self, tuple: &'ast ExprTuple) {
        tuple.elems.first().into_iter().for_each(|reason| self.refusal(reason));
        visit::visit_expr_tuple(self, tuple);
    }

    fn visit_expr_struct(&mut self, literal: &'ast ExprStruct) {
        let mut fields = literal.fields.iter();
        let reason = fields.find(|field| matches!(&field.member, Member::Named(name) if name == "reason")).map(|field| &field.expr);
        match (literal.path.get_ident(), reason) {
            (Some(name), Some(reason)) if name == "Ending" => {
                self.taken.extend(constant(reason).map(|reason| (reason, "an attempt".to_owned())));
            }
            (_, Some(reason)) => self.refusal(reason),
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
        self.unlisted.extend(Some(literal.value()).filter(|word| is_reason(word)));
    }
}

/// Whether `Event::new` is called, whose word is that of a line of the audit and no reason.
fn is_audit_line(function: &Expr) -> bool {
    matches!(function, Expr::Path(path) if path.path.segments.iter().map(|s| s.ident.to_string()).eq(["Event", "new"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> BTreeMap<String, String> {
        condition_types("pub const READY: &str = \"Ready\"; pub const KEYS_READY: &str = \"KeysReady\";").unwrap()
    }

    #[test]
    fn a_reason_is_found_with_what_is_seen_of_it() {
        let source = r#"
            use api::reasons::tenant as reasons;
            fn rule(n: usize) -> Finding {
                if n > 3 { return Finding::stalled(reasons::TOO_MANY, format!("{n} are missing")); }
                let type_ = KEYS_READY;
                conditions.with_false(type_, reasons::NO_KEYS, &message);
                Finding::waiting(reasons::ONE_LESS, "wait")
            }
        "#;
        let types = types();
        let found = found(source, &types).unwrap();
        let taken: Vec<_> = found.taken.iter().map(|(reason, seen)| (reason.as_str(), seen.as_str())).collect();
        assert_eq!(
            taken,
            [("NO_KEYS", "KeysReady=False"), ("ONE_LESS", "Ready=False, Reconciling=True"), ("TOO_MANY", "Ready=False, Stalled=True")]
        );
        assert_eq!(found.lists.into_iter().collect::<Vec<_>>(), ["tenant"]);
        assert!(found.unlisted.is_empty(), "{:?}", found.unlisted);
    }

    #[test]
    fn a_word_that_is_written_without_a_list_is_told() {
        let types = types();
        let source = "fn f() { Finding::ready(\"Planted\", \"Said to people\"); tell(\"Other\", \"lower\"); if x == \"Compared\" {} }";
        let found = found(source, &types).unwrap();
        assert_eq!(found.unlisted.into_iter().collect::<Vec<_>>(), ["Other", "Planted"]);
        assert_eq!(found.written.into_iter().collect::<Vec<_>>(), ["Planted"]);
        assert!(found.taken.is_empty());
    }

    #[test]
    fn tests_and_the_audit_hold_no_reasons() {
        let types = types();
        let source =
            "fn f() { Event::new(\"KeyRotated\"); } #[cfg(test)] mod tests { fn g() { Finding::ready(\"Planted\", reasons::A); } }";
        let found = found(source, &types).unwrap();
        assert!(found.unlisted.is_empty() && found.taken.is_empty(), "{:?}", found.unlisted);
    }
}
