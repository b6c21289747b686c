//! As much XML as an envelope has: elements by local name, text, the five entities. Prefixes differ by client and mean
//! nothing here; document types are refused.

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

/// Envelopes are shallow; deeper nesting is not one.
const DEEPEST: usize = 32;

impl Element {
    /// The root element; nothing when the text is not well formed.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut open: Vec<Self> = Vec::new();
        let mut rest = text.trim_start_matches('\u{feff}').trim_start();
        loop {
            let (before, after) = rest.split_once('<')?;
            if let Some(element) = open.last_mut() {
                element.text.push_str(&unescape(before)?);
            }
            if let Some(comment) = after.strip_prefix("!--") {
                rest = comment.split_once("-->")?.1;
                continue;
            }
            if let Some(data) = after.strip_prefix("![CDATA[") {
                let (data, after) = data.split_once("]]>")?;
                open.last_mut()?.text.push_str(data);
                rest = after;
                continue;
            }
            let (tag, after) = after.split_once('>')?;
            rest = after;
            if tag.starts_with('?') {
                continue;
            }
            if tag.starts_with('!') || open.len() > DEEPEST {
                return None;
            }
            let closed = match tag.strip_prefix('/') {
                Some(name) => Some(open.pop().filter(|element| element.name == local(name))?),
                None => {
                    let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
                    let name = local(tag.split_whitespace().next()?);
                    let element = Self { name, ..Self::default() };
                    if empty {
                        Some(element)
                    } else {
                        open.push(element);
                        None
                    }
                }
            };
            if let Some(element) = closed {
                match open.last_mut() {
                    Some(parent) => parent.children.push(element),
                    None => return Some(element),
                }
            }
        }
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }
}

fn local(name: &str) -> String {
    name.trim().rsplit(':').next().unwrap_or_default().to_owned()
}

fn unescape(text: &str) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let (entity, after) = after.split_once(';')?;
        out.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            number => {
                let number = number.strip_prefix('#')?;
                let code = number.strip_prefix('x').map_or_else(|| number.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
                char::from_u32(code?)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_comments_and_entities_do_not_matter() {
        let text = "<?xml version='1.0'?><env:Envelope xmlns:env=\"x\"><!-- c --><env:Body><n1:login a='b'><n1:username>a&amp;b&#x41;</n1:username>\
                    <password><![CDATA[<&>]]></password><empty/></n1:login></env:Body></env:Envelope>";
        let envelope = Element::parse(text).unwrap();
        let login = envelope.child("Body").unwrap().child("login").unwrap();
        assert_eq!(login.child("username").unwrap().text, "a&bA");
        assert_eq!(login.child("password").unwrap().text, "<&>");
        assert!(login.child("empty").is_some());
    }

    #[test]
    fn what_is_not_well_formed_is_nothing() {
        for text in ["", "text", "<a>", "<a></b>", "<!DOCTYPE a [<!ENTITY x \"y\">]><a/>", "<a>&unknown;</a>"] {
            assert_eq!(Element::parse(text), None, "{text}");
        }
    }
}
