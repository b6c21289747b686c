//! The chart's README: every value with its default and with the comment that stands at it in `values.yaml`.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use super::markdown::{cell, code, table};
use crate::workspace;

const FILE: &str = "charts/dataimporter/values.yaml";

pub(super) fn page() -> Result<String> {
    let text = fs::read_to_string(workspace::root().join(FILE)).with_context(|| format!("{FILE} cannot be read"))?;
    let values = values(&text).context(FILE)?;
    ensure!(values.len() > 50, "only {} values were found in {FILE}", values.len());
    let mut page = super::heading("Helm chart of Dataimporter for Kubernetes", &code(FILE));
    page.push_str(
        "\nInstalls operator and keeper, the CustomResourceDefinitions, and the policies that hold them and their worker pods to what they may do. \
         Kubernetes 1.33 or newer, with a network plugin that enforces NetworkPolicies.\n\n\
         ```\n\
         helm install dataimporter charts/dataimporter -n dataimporter-system --create-namespace --set 'regions={eu-frankfurt}' -f your-values.yaml\n\
         helm test dataimporter -n dataimporter-system\n\
         ```\n\n\
         What has to be there before, and what comes next: [operations.md](../../docs/operations.md#install). What an uninstall does: \
         [uninstalling.md](../../docs/uninstalling.md). A value that is not in this table is refused.\n\n\
         ## Values\n\n",
    );
    let rows: Vec<[String; 3]> = values.iter().map(Described::row).collect();
    page.push_str(&table(["value", "default", ""], &rows));
    Ok(page)
}

/// A value, or a group of them.
#[derive(Debug)]
struct Described {
    path: String,
    /// As it is written; none: a group.
    default: Option<String>,
    description: String,
    example: Option<String>,
}

impl Described {
    fn row(&self) -> [String; 3] {
        let (name, default) = match &self.default {
            Some(default) => (code(&self.path), code(default)),
            None => (format!("**{}**", code(&self.path)), String::new()),
        };
        let mut description = cell(&self.description);
        if let Some(example) = &self.example {
            description.push_str(&format!("{}Example: {}", if description.is_empty() { "" } else { " " }, code(example)));
        }
        [name, default, description]
    }
}

/// Values in their order, with groups that have a comment. A value is on the line of its name, a group's names are below it, indented by two
/// blanks; a comment stands above or behind, one that begins with a bracket is an example. A value without a comment is an error.
fn values(text: &str) -> Result<Vec<Described>> {
    let (mut found, mut above, mut groups) = (Vec::new(), Vec::new(), Vec::<&str>::new());
    for (number, line) in text.lines().enumerate() {
        let at = || format!("line {}", number + 1);
        let content = line.trim_start();
        if let Some(comment) = content.strip_prefix('#') {
            above.push(comment.trim());
            continue;
        }
        if content.is_empty() {
            above.clear();
            continue;
        }
        let depth = (line.len() - content.len()) / 2;
        let (name, rest) = content.split_once(':').with_context(at)?;
        if !name.chars().all(char::is_alphanumeric) || depth > groups.len() || depth * 2 != line.len() - content.len() {
            bail!("{}: a value is on the line of its name, and indented by two blanks for each group", at());
        }
        let (default, behind) = rest.split_once(" #").unwrap_or((rest, ""));
        let (default, behind) = (default.trim(), behind.trim());
        groups.truncate(depth);
        groups.push(name);
        let example = behind.starts_with(['[', '{']).then(|| behind.to_owned());
        let described = if example.is_some() { "" } else { behind };
        let description = above.drain(..).chain([described]).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
        let value = Described { path: groups.join("."), default: (!default.is_empty()).then(|| default.to_owned()), description, example };
        match &value.default {
            Some(_) if value.description.is_empty() => bail!("{}: {} has no comment that says what it is", at(), value.path),
            None if value.description.is_empty() => {}
            _ => found.push(value),
        }
        if !default.is_empty() {
            groups.pop();
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "# Of the file.\n\n# Of the group.\nimage:\n  # Where it is,\n  # exactly.\n  repository: a\n  tag: \"\"   # Empty: the \
                          chart's.\n  deep:\n    list: [1]  # One | more.\n# Nobody.\nsecrets: []   # [{name: x}]\n";

    #[test]
    fn a_value_has_its_path_default_comments_and_example() {
        let rows: Vec<[String; 3]> = values(VALUES).unwrap().iter().map(Described::row).collect();
        assert_eq!(rows[0], ["**`image`**", "", "Of the group."]);
        assert_eq!(rows[1], ["`image.repository`", "`a`", "Where it is, exactly."]);
        assert_eq!(rows[2], ["`image.tag`", "`\"\"`", "Empty: the chart's."]);
        assert_eq!(rows[3], ["`image.deep.list`", "`[1]`", "One \\| more."]);
        assert_eq!(rows[4], ["`secrets`", "`[]`", "Nobody. Example: `[{name: x}]`"]);
        assert_eq!(rows.len(), 5, "the heading of the file belongs to no value");
    }

    #[test]
    fn a_value_without_a_comment_and_lines_that_cannot_be_read_are_errors() {
        let refused = |text: &str| values(text).unwrap_err().to_string();
        assert!(refused("a:\n  b: 1\n").contains("line 2: a.b has no comment"));
        assert!(refused("# All.\na:\n- 1: x\n").contains("line 3: a value is on the line of its name"));
        assert!(refused("# All.\na:\n    b: 1\n").contains("line 3"));
    }
}
