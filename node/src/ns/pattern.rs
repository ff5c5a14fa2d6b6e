//! Paths of namespaces with placeholders, such as `/dyn-{id}`.

use std::{ops::Range, sync::Arc};

/// A pattern of paths: literal text and `{name}` placeholders.
///
/// A placeholder stands for one or more characters other than `/`; `{*name}` for any, slashes included.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// What precedes the first placeholder.
    head: Box<str>,
    /// Each placeholder with the literal text that follows it; only the last text may be empty.
    holes: Box<[Hole]>,
}

#[derive(Clone, Debug)]
struct Hole {
    name: Arc<str>,
    slashes: bool,
    then: Box<str>,
}

/// What the placeholders of a pattern stand for in one path.
pub(crate) type Captures = Box<[(Arc<str>, Range<usize>)]>;

impl Pattern {
    /// # Errors
    /// What is wrong with the pattern, and what would be right.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |what: &str| Err(format!("{what}; a pattern is like \"/dyn-{{id}}\" or \"/files/{{*path}}\""));
        let (head, mut rest) = text.split_once('{').unwrap_or((text, ""));
        if !head.starts_with('/') {
            return wrong("it does not begin with a slash");
        }
        let mut holes: Vec<Hole> = Vec::new();
        if !text.contains('{') {
            return wrong("it has no placeholder: use `namespace` for a single path");
        }
        loop {
            let Some((name, after)) = rest.split_once('}') else {
                return wrong("a placeholder is not closed");
            };
            let (slashes, name) = match name.strip_prefix('*') {
                Some(name) => (true, name),
                None => (false, name),
            };
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return wrong("a placeholder's name must be letters, digits and underscores");
            }
            if holes.iter().any(|hole| &*hole.name == name) {
                return wrong("two placeholders have the same name");
            }
            let (then, next) = match after.split_once('{') {
                Some((then, next)) => (then, Some(next)),
                None => (after, None),
            };
            if then.contains('}') || head.contains('}') {
                return wrong("there is a `}` without a `{`");
            }
            holes.push(Hole { name: name.into(), slashes, then: then.into() });
            match next {
                Some(_) if then.is_empty() => {
                    return wrong("between two placeholders there must be some text");
                }
                Some(next) => rest = next,
                None => break,
            }
        }
        Ok(Self { head: head.into(), holes: holes.into() })
    }

    /// What the placeholders stand for, if the path is one of these. A placeholder takes as little as it can, the last
    /// one the rest.
    pub(crate) fn captures(&self, path: &str) -> Option<Captures> {
        let mut at = self.head.len();
        path.strip_prefix(&*self.head)?;
        let last = self.holes.len() - 1;
        let mut captures = Vec::with_capacity(self.holes.len());
        for (index, hole) in self.holes.iter().enumerate() {
            let rest = &path[at..];
            // At least one character.
            let first = rest.chars().next()?.len_utf8();
            let len = if index == last {
                rest.strip_suffix(&*hole.then)?.len()
            } else {
                first + rest[first..].find(&*hole.then)?
            };
            if len < first || (!hole.slashes && rest[..len].contains('/')) {
                return None;
            }
            captures.push((hole.name.clone(), at..at + len));
            at += len + hole.then.len();
        }
        Some(captures.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
        let captures = Pattern::parse(pattern).unwrap().captures(path)?;
        Some(captures.iter().map(|(_, range)| &path[range.clone()]).collect())
    }

    #[test]
    fn placeholders_stand_for_what_is_between_the_text() {
        assert_eq!(captured("/dyn-{id}", "/dyn-42"), Some(vec!["42"]));
        assert_eq!(captured("/dyn-{id}", "/dyn-ü"), Some(vec!["ü"]));
        assert_eq!(captured("/{org}/room-{room}", "/acme/room-1-2"), Some(vec!["acme", "1-2"]));
        assert_eq!(captured("/{a}-{b}x", "/1-2-3x"), Some(vec!["1", "2-3"]));
        assert_eq!(captured("/files/{*path}", "/files/a/b"), Some(vec!["a/b"]));
        assert_eq!(captured("/{*any}", "/x"), Some(vec!["x"]));
    }

    #[test]
    fn other_paths_do_not_match() {
        for path in ["/dyn-", "/dyn", "/", "", "/dyn-a/b", "/Dyn-1", "x/dyn-1"] {
            assert_eq!(captured("/dyn-{id}", path), None, "{path}");
        }
        assert_eq!(captured("/{a}-{b}", "/-1"), None);
        assert_eq!(captured("/{a}x", "/x"), None);
    }

    #[test]
    fn what_cannot_be_a_pattern_is_refused_with_the_reason() {
        for (pattern, why) in [
            ("dyn-{id}", "slash"),
            ("/dyn", "no placeholder"),
            ("/dyn-{id", "not closed"),
            ("/dyn-{}", "letters"),
            ("/{a}{b}", "some text"),
            ("/{a}/{a}", "same name"),
            ("/a}b{c}", "without"),
        ] {
            assert!(Pattern::parse(pattern).unwrap_err().contains(why), "{pattern}");
        }
    }
}
