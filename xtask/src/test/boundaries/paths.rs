//! Which modules a Rust source file names. It works on the tokens of the file and not on its syntax tree, so that what stands inside a
//! macro call is seen like everything else; comments are no tokens and name nothing.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A module or an item, as the segments of its path from the root of the crate.
pub(super) type Path = Vec<String>;

/// One place where a module names something.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Named {
    /// The module that the name stands in.
    pub(super) by: Path,
    /// What is named: a path from the root of this crate, or one that begins with the name of another crate.
    pub(super) what: What,
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum What {
    Inside(Path),
    Foreign(Path),
}

/// The modules of a crate that `src` can call by a path without `crate`, `self` or `super`: children of the module that names them.
pub(super) type Modules = BTreeSet<Path>;

/// Everything that the file of `module` names. `library`: the name by which a program calls the library beside it.
pub(super) fn named(source: &str, module: &[String], modules: &Modules, library: &str) -> Result<Vec<Named>> {
    let tokens: TokenStream = source.parse().map_err(|error| anyhow!("{}: {error}", module.join("::")))?;
    let mut reader = Reader { modules, library, found: Vec::new() };
    reader.read(tokens, module);
    Ok(reader.found)
}

struct Reader<'a> {
    modules: &'a Modules,
    library: &'a str,
    found: Vec<Named>,
}

impl Reader<'_> {
    fn read(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at = match (word(&tokens, at).as_deref(), tokens.get(at)) {
                (Some("mod"), _) => self.module(&tokens, at, module),
                (Some("use"), _) => self.tree(&tokens, at + 1, &[], module),
                // `pub(in crate::keeper)` says who may see it and uses nothing.
                (Some("pub"), _) if group(&tokens, at + 1, Delimiter::Parenthesis).is_some() => at + 2,
                (Some(_), _) if is_separator(&tokens, at + 1) => self.path(&tokens, at, module),
                (_, Some(TokenTree::Group(inner))) => {
                    self.read(inner.stream(), module);
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    /// `mod name { … }`: what stands inside is named by that module. One without a body has a file of its own.
    fn module(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        let (Some(name), Some(body)) = (word(tokens, at + 1), group(tokens, at + 2, Delimiter::Brace)) else { return at + 1 };
        let inner: Path = module.iter().cloned().chain([name]).collect();
        self.read(body, &inner);
        at + 3
    }

    /// One branch of a `use`: segments, then possibly a group of branches. Answers where the branch ends.
    fn tree(&mut self, tokens: &[TokenTree], from: usize, before: &[String], module: &[String]) -> usize {
        let mut path: Path = before.to_vec();
        let mut at = if is_separator(tokens, from) { from + 2 } else { from };
        loop {
            if let Some(branches) = group(tokens, at, Delimiter::Brace) {
                let branches: Vec<TokenTree> = branches.into_iter().collect();
                let mut branch = 0;
                while branch < branches.len() {
                    branch = self.tree(&branches, branch, &path, module);
                }
                return end_of_branch(tokens, at + 1);
            }
            match word(tokens, at) {
                // `use super::audit::{self, Event}`
                Some(name) if name == "self" && !path.is_empty() => {}
                Some(name) => path.push(name),
                // `*`, or the end.
                None => {
                    self.found(path, module);
                    return end_of_branch(tokens, at);
                }
            }
            at += 1;
            if !is_separator(tokens, at) {
                self.found(path, module);
                return end_of_branch(tokens, at);
            }
            at += 2;
        }
    }

    /// A path in an expression, a type or an attribute.
    fn path(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        let mut path = Vec::new();
        let mut next = at;
        while let Some(segment) = word(tokens, next) {
            path.push(segment);
            if !is_separator(tokens, next + 1) {
                next += 1;
                break;
            }
            next += 3;
        }
        // `<T as Trait>::name::…` begins with no module.
        let continues = at >= 3 && is_separator(tokens, at - 2) && is_punct(tokens, at - 3, '>');
        if !continues {
            self.found(path, module);
        }
        next
    }

    fn found(&mut self, path: Path, module: &[String]) {
        if let Some(what) = self.resolve(path, module) {
            self.found.push(Named { by: module.to_vec(), what });
        }
    }

    fn resolve(&self, path: Path, module: &[String]) -> Option<What> {
        let first = path.first()?.as_str();
        let rest = path[1..].to_vec();
        Some(match first {
            "crate" => What::Inside(rest),
            "self" => What::Inside([module.to_vec(), rest].concat()),
            "super" => {
                let up = path.iter().take_while(|segment| *segment == "super").count();
                let base = module.len().saturating_sub(up);
                What::Inside([module[..base].to_vec(), path[up..].to_vec()].concat())
            }
            _ if first == self.library => What::Inside(rest),
            _ => {
                let child = [module.to_vec(), vec![first.to_owned()]].concat();
                if self.modules.contains(&child) { What::Inside([child, rest].concat()) } else { What::Foreign(path) }
            }
        })
    }
}

/// Behind the comma or semicolon that ends a branch of a `use`.
fn end_of_branch(tokens: &[TokenTree], from: usize) -> usize {
    let is_end = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if matches!(punct.as_char(), ',' | ';'));
    tokens[from.min(tokens.len())..].iter().position(is_end).map_or(tokens.len(), |more| from + more + 1)
}

fn word(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(name)) => Some(name.to_string().trim_start_matches("r#").to_owned()),
        _ => None,
    }
}

fn group(tokens: &[TokenTree], at: usize, delimiter: Delimiter) -> Option<TokenStream> {
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => Some(group.stream()),
        _ => None,
    }
}

/// `::`
fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let joint = matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint);
    joint && is_punct(tokens, at + 1, ':')
}

fn is_punct(tokens: &[TokenTree], at: usize, character: char) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split("::").map(str::to_owned).collect()
    }

    /// What a file of `keeper::files::sweeper` names, as text.
    fn seen(source: &str) -> Vec<String> {
        let modules = [path("keeper::files::sweeper::inner")].into();
        let named = named(source, &path("keeper::files::sweeper"), &modules, "dataimporter").unwrap();
        let told = |named: Named| match named.what {
            What::Inside(what) => format!("crate::{}", what.join("::")),
            What::Foreign(what) => what.join("::"),
        };
        named.into_iter().map(told).collect()
    }

    #[test]
    fn imports_are_resolved_whatever_their_form() {
        assert_eq!(seen("use crate::keeper::vault::Ring;"), ["crate::keeper::vault::Ring"]);
        assert_eq!(seen("use super::super::vault::{self, Ring as R};"), ["crate::keeper::vault", "crate::keeper::vault::Ring"]);
        assert_eq!(
            seen("pub(in crate::keeper) use super::{a::B, c::{d, e::*}};"),
            ["a::B", "c::d", "c::e"].map(|p| format!("crate::keeper::files::{p}"))
        );
        assert_eq!(seen("use {super::room, inner::X};"), ["crate::keeper::files::room", "crate::keeper::files::sweeper::inner::X"]);
        assert_eq!(seen("use dataimporter::worker; use ::envelope::Kid;"), ["crate::worker", "envelope::Kid"]);
    }

    #[test]
    fn full_paths_are_seen_in_code_types_attributes_and_macros() {
        assert_eq!(seen("fn f(x: &crate::a::B) -> super::C { self::d(); super::super::e::f::<G>() }").len(), 4);
        assert_eq!(seen(r#"fn f() { tracing::info!("{}", crate::worker::x()) }"#), ["tracing::info", "crate::worker::x"]);
        assert_eq!(seen("fn f(a: ::envelope::Kid) { <T as super::U>::g::<V>() }"), ["envelope::Kid", "crate::keeper::files::U"]);
        assert_eq!(seen("#[serde(with = \"x\")] struct S { #[cfg(test)] a: super::A }"), ["crate::keeper::files::A"]);
    }

    #[test]
    fn a_module_inside_a_file_counts_its_own_supers() {
        assert_eq!(seen("mod tests { use super::super::room::x; }"), ["crate::keeper::files::room::x"]);
    }

    #[test]
    fn comments_texts_and_visibility_name_nothing() {
        assert!(seen("// crate::worker\n/// [`crate::worker`]\npub(in crate::worker) const A: &str = \"crate::worker::x\";").is_empty());
    }
}
