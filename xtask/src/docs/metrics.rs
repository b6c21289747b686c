//! The list of metrics, from the one file that registers them: name, type, labels and the help text that a scrape shows.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use syn::visit::{self, Visit};
use syn::{Expr, ExprMethodCall, Fields, GenericArgument, ItemStruct, PathArguments, Type};

use super::markdown::{cell, code, table};
use crate::workspace;

const FILE: &str = "crates/runtime/src/metrics.rs";

pub(super) fn page() -> Result<String> {
    let source = fs::read_to_string(workspace::root().join(FILE)).with_context(|| format!("{FILE} cannot be read"))?;
    let rows = rows(&source)?;
    let mut page = super::heading("Metrics", &code(FILE));
    page.push_str(
        "\nOperator and keeper serve these on port 8080 under `/metrics`, in the OpenMetrics format. A family without a value yet is not shown. \
         Which ones to watch: [operations.md](../operations.md#watch).\n\n",
    );
    page.push_str(&table(["metric", "type", "labels", ""], &rows));
    Ok(page)
}

/// What the file declares: structs by their fields, registrations by their arguments.
#[derive(Default)]
struct Declared {
    structs: BTreeMap<String, Vec<(String, Type)>>,
    prefix: Option<String>,
    registered: Vec<Option<(String, String, String)>>,
}

impl<'ast> Visit<'ast> for Declared {
    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        if let Fields::Named(fields) = &item.fields {
            let fields =
                fields.named.iter().map(|field| (field.ident.as_ref().map(ToString::to_string).unwrap_or_default(), field.ty.clone()));
            self.structs.insert(item.ident.to_string(), fields.collect());
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "register" {
            let arguments: Vec<&Expr> = call.args.iter().collect();
            self.registered.push(match arguments[..] {
                [name, help, Expr::MethodCall(clone)] => {
                    super::reasons::text(name).zip(super::reasons::text(help)).and_then(|(name, help)| {
                        let Expr::Path(family) = &*clone.receiver else { return None };
                        Some((name, help, family.path.get_ident()?.to_string()))
                    })
                }
                _ => None,
            });
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(function) = &*call.func
            && function.path.segments.last().is_some_and(|segment| segment.ident == "with_prefix")
        {
            self.prefix = call.args.first().and_then(super::reasons::text);
        }
        visit::visit_expr_call(self, call);
    }
}

fn rows(source: &str) -> Result<Vec<[String; 4]>> {
    let mut declared = Declared::default();
    declared.visit_file(&syn::parse_file(source).context("metrics are not declared in Rust")?);
    let prefix = declared.prefix.as_deref().context("no registry has a prefix")?;
    let metrics = declared.structs.get("Metrics").context("there is no struct Metrics")?;
    let mut rows = Vec::new();
    for registered in &declared.registered {
        let (name, help, field) = registered.as_ref().context("a metric is registered in a form that this does not read")?;
        let type_ = metrics.iter().find(|(known, _)| known == field).map(|(_, type_)| names(type_));
        let type_ = type_.with_context(|| format!("{name}: Metrics has no field {field}"))?;
        let kind = type_.last().with_context(|| format!("{name} has no type"))?.to_lowercase();
        let labels = match type_.as_slice() {
            [family, labels, _] if family == "Family" => {
                declared.structs.get(labels).with_context(|| format!("{name} has no labels {labels}"))?.as_slice()
            }
            _ => &[],
        };
        let ending = if kind == "counter" { "_total" } else { "" };
        let labels = labels.iter().map(|(label, _)| code(label)).collect::<Vec<_>>().join(", ");
        rows.push([code(&format!("{prefix}_{name}{ending}")), kind, labels, cell(help)]);
    }
    ensure!(!rows.is_empty(), "no metric is registered");
    Ok(rows)
}

/// The names in a type, from the outside in: Family, KindLabel, Counter.
fn names(type_: &Type) -> Vec<String> {
    let Type::Path(path) = type_ else { return Vec::new() };
    let Some(last) = path.path.segments.last() else { return Vec::new() };
    let mut found = vec![last.ident.to_string()];
    if let PathArguments::AngleBracketed(arguments) = &last.arguments {
        found.extend(
            arguments.args.iter().flat_map(|argument| if let GenericArgument::Type(inner) = argument { names(inner) } else { Vec::new() }),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        struct KindLabel { kind: &'static str, verb: &'static str }
        struct Metrics { writes: Family<KindLabel, Counter>, depth: Gauge }
        fn new() {
            let mut registry = Registry::with_prefix("planted");
            registry.register("writes", "Writes | all", writes.clone());
            registry.register("depth", "Depth", depth.clone());
        }
    "#;

    #[test]
    fn a_metric_has_its_name_as_scraped_its_type_and_labels() {
        let rows = rows(SOURCE).unwrap();
        assert_eq!(rows[0], ["`planted_writes_total`", "counter", "`kind`, `verb`", "Writes \\| all"]);
        assert_eq!(rows[1], ["`planted_depth`", "gauge", "", "Depth"]);
    }

    #[test]
    fn a_registration_that_cannot_be_read_is_an_error() {
        let error = rows(&SOURCE.replace("\"depth\", ", "NAME, ")).unwrap_err();
        assert!(error.to_string().contains("a form that this does not read"), "{error}");
    }
}
