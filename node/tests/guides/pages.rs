//! The text of the guides, beside what it is about.

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The example without what it says about itself at its top, and without what only these tests need.
fn program(example: &str) -> String {
    let code = read(example);
    let code = code.lines().skip_while(|line| line.starts_with("//!") || line.is_empty());
    code.collect::<Vec<_>>().join("\n").replace("pub(crate) ", "").replace("pub ", "")
}

/// The first Rust program of a page.
fn quoted(page: &str) -> String {
    let text = read(page);
    let (_, code) = text.split_once("```rust").unwrap_or_else(|| panic!("{page} has no program"));
    let (_, code) = code.split_once('\n').unwrap();
    let (code, _) = code.split_once("\n```").unwrap();
    code.to_owned()
}

#[test]
fn the_guides_begin_with_the_examples() {
    for (page, example) in [
        ("docs/guide/first-server.md", "node/examples/first_server.rs"),
        ("docs/guide/rooms.md", "node/examples/chat.rs"),
        ("docs/guide/acks.md", "node/examples/acks.rs"),
        ("docs/guide/auth.md", "node/examples/auth.rs"),
        ("docs/guide/classes-and-middleware.md", "node/examples/class.rs"),
        ("docs/guide/scaling.md", "node/examples/cluster.rs"),
        ("docs/guide/embedding-in-axum.md", "node/examples/axum.rs"),
    ] {
        assert_eq!(quoted(page), program(example), "{page} begins with {example}");
    }
}

/// The links of a Markdown text that lead to files of this repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let link = rest.split([')', '#']).next()?;
        (!link.is_empty() && !link.contains(':') && !link.contains(' ')).then_some(link)
    })
}

#[test]
fn the_links_of_the_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    for folder in ["docs", "docs/guide"] {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|kind| kind == "md")));
    }
    let mut dead = Vec::new();
    for page in &pages {
        let text = fs::read_to_string(page).unwrap();
        let folder = page.parent().unwrap();
        dead.extend(
            links(&text)
                .filter(|link| !folder.join(link).exists())
                .map(|link| format!("{}: {link}", page.display())),
        );
    }
    assert!(dead.is_empty(), "{dead:#?}");

    // Every page can be found from the first one.
    let index = read("docs/README.md");
    let linked: Vec<&str> = links(&index).collect();
    for page in &pages[2..] {
        let page = page.strip_prefix(root.join("docs")).unwrap().to_str().unwrap();
        assert!(page == "README.md" || linked.contains(&page), "docs/README.md does not link {page}");
    }
}

#[test]
fn every_option_of_the_program_is_explained() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_sockeye")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let page = read("docs/running.md");
    let options = |text: &str| -> Vec<String> {
        text.split(|sign: char| !(sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-'))
            .filter(|word| word.len() > 2 && word.starts_with("--"))
            .map(str::to_owned)
            .collect()
    };
    let (there, explained) = (options(&help), options(&page));
    assert!(there.len() > 20, "{help}");
    for option in there.iter().filter(|option| *option != "--help" && *option != "--version") {
        assert!(explained.contains(option), "docs/running.md does not explain {option}");
    }
    // The page's tables; elsewhere it mentions those of other programs.
    for row in page.lines().filter(|line| line.starts_with("| `--")) {
        let option = &options(row)[0];
        assert!(there.contains(option), "there is no {option}");
    }
}

/// The sources of a crate, all in one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_metrics_that_pages_name_are_there() {
    let mut code = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let mut found = 0;
    for page in
        ["README.md", "docs/running.md", "docs/limits.md", "docs/guide/scaling.md", "docs/guide/acks.md"]
            .into_iter()
            .chain(["docs/guide/first-server.md", "docs/api-socket-io.md", "docs/api-python-socketio.md"])
    {
        let text = read(page);
        let words = text.split(|sign: char| !(sign.is_ascii_alphanumeric() || sign == '_'));
        for name in words.filter_map(|word| word.strip_prefix("sockeye_")) {
            if ["bus", "emitter", "proto", "loadtest"].contains(&name) || name.ends_with('_') {
                continue; // crates, families of metrics
            }
            found += 1;
            let known =
                code.contains(&format!("\"{name}\"")) || code.contains(&format!("\"sockeye_{name}\""));
            assert!(known, "{page}: there is no sockeye_{name}");
        }
    }
    assert!(found > 10);
}
/// What stands between backticks in the second column of a page's tables.
fn ours(page: &str) -> Vec<String> {
    let mut names = Vec::new();
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let column = row.replace("\\|", "").split('|').nth(2).map(str::to_owned).unwrap_or_default();
        names.extend(column.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    names
}

#[test]
fn the_tables_name_what_there_is() {
    let compiled = read("node/tests/guides/names.rs");
    let words: Vec<&str> = compiled
        .split(|sign: char| !(sign.is_alphanumeric() || sign == '_' || sign == ':'))
        .map(|word| word.trim_matches(':'))
        .collect();
    // Rust's own, and other crates'.
    let foreign = ["Err", "Ok", "Option", "Vec", "Slow"];
    let mut unknown = Vec::new();
    for page in ["docs/api-python-socketio.md", "docs/api-socket-io.md"] {
        let names = ours(&read(page));
        assert!(names.len() > 80, "{page} has no table");
        for name in names {
            let Some(plain) =
                name.split(['<', '(', ' ']).next().filter(|name| name.starts_with(char::is_uppercase))
            else {
                continue;
            };
            let first = plain.split("::").next().unwrap_or_default();
            if !foreign.contains(&first) && !words.contains(&plain) {
                unknown.push(format!("{page}: {name}"));
            }
        }
    }
    assert!(unknown.is_empty(), "not in names.rs, or not there: {unknown:#?}");
}

#[tokio::test]
async fn every_limit_is_explained_with_its_default() {
    let page = read("docs/limits.md");
    let server = sockeye::Server::builder().build().await.unwrap();
    let metrics = server.metrics();
    let series = "sockeye_limit_rejections_total{limit=\"";
    let counted: Vec<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix(series)?.split('"').next()).collect();
    assert!(counted.len() > 10, "{metrics}");
    for limit in &counted {
        assert!(page.contains(&format!("| `{limit}` |")), "docs/limits.md does not explain {limit}");
    }
    for row in page.lines().filter(|line| line.starts_with("| `") && !line.starts_with("| `limit`")) {
        let limit = row.split('`').nth(1).unwrap();
        let policy = limit.starts_with(char::is_uppercase);
        assert!(policy || counted.contains(&limit), "nothing counts {limit}");
    }
    let limits = sockeye::Limits::default();
    for (limit, default) in [
        ("payload", limits.max_payload),
        ("packets_per_payload", limits.max_packets_per_payload),
        ("attachments", limits.max_attachments),
        ("json_depth", limits.max_json_depth),
        ("json_length", limits.max_json_len),
        ("json_values", limits.max_json_values),
        ("namespace_length", limits.max_namespace_len),
        ("event_length", limits.max_event_len),
        ("namespaces", limits.max_namespaces),
        ("event_rate", limits.events_per_second as usize),
        ("rooms", limits.max_rooms),
        ("room_length", limits.max_room_len),
        ("pending_acks", limits.max_pending_acks),
        ("outbox_packets", sockeye::OutboxLimits::default().hard_packets),
    ] {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{limit}` |"))).unwrap();
        let said = row.replace(',', "");
        let said = said.split('|').nth(2).unwrap().trim_start();
        assert!(said.starts_with(&format!("{default} ")), "{limit} is {default}, not {said}");
    }
    server.shutdown().await;
}
