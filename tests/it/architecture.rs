//! Who may name whom, which guests live in which rooms, and that every file says what it is for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};

/// Row may use `crate::column`. A row lists only rows above it, so the table cannot hold a ring.
const MAY_NAME: &[(&str, &str)] = &[
    ("base", ""),
    ("store", "base"),
    ("telemetry", "base"),
    ("egress", "base"),
    ("tenancy", "base store"),
    ("quota", "base store"),
    ("audit", "base store"),
    ("catalog", "base store egress"),
    ("dialect", "base catalog"),
    ("identity", "base store tenancy egress"),
    ("keys", "base store tenancy egress quota"),
    ("routing", "base store catalog"),
    ("usage", "base store catalog"),
    ("realtime", "base store"),
    ("alerts", "base store egress"),
    (
        "control",
        "base store egress tenancy identity keys catalog quota routing usage audit realtime alerts",
    ),
    (
        "snapshot",
        "base store tenancy keys catalog dialect quota routing",
    ),
    (
        "gateway",
        "base egress telemetry keys catalog dialect quota routing usage snapshot",
    ),
    (
        "agents",
        "base egress telemetry store tenancy keys catalog dialect quota routing usage audit snapshot realtime alerts control",
    ),
    (
        "admin",
        "base egress telemetry store tenancy identity keys catalog dialect quota routing usage audit snapshot realtime alerts control agents",
    ),
    ("simulate", "base dialect catalog"),
    (
        "config",
        "base store egress telemetry tenancy identity keys catalog dialect quota routing usage audit snapshot realtime alerts control gateway agents admin simulate",
    ),
    (
        "cli",
        "base store egress telemetry tenancy identity keys catalog dialect quota routing usage audit snapshot realtime alerts control gateway agents admin simulate config",
    ),
];

/// Which files may name a guest crate: a folder (`gateway/`), a file (`cli/proxy.rs`), a file name (`/store.rs`).
const GUESTS: &[(&str, &[&str])] = &[
    ("sqlx", &["/store.rs", "store/", "cli/"]),
    ("pingora", &["gateway/", "cli/proxy.rs"]),
    ("axum", &["admin/", "simulate/"]),
    (
        "redis",
        &["store/redis.rs", "quota/ledger.rs", "quota/ledger/"],
    ),
];

#[test]
fn the_table_has_no_way_up() {
    let mut above = BTreeSet::new();
    for (row, columns) in MAY_NAME {
        for column in columns.split_whitespace() {
            assert!(
                above.contains(column),
                "`{row}` may name `{column}`, which does not stand above it"
            );
        }
        above.insert(*row);
    }
}

#[test]
fn modules_name_only_those_above_them() {
    let table: BTreeMap<&str, BTreeSet<&str>> = MAY_NAME
        .iter()
        .map(|(row, columns)| (*row, columns.split_whitespace().collect()))
        .collect();
    let mut faults = Vec::new();
    for file in sources() {
        let Some(module) = module_of(&file) else {
            continue;
        };
        let allowed = table.get(module.as_str());
        for named in words_after(&tokens_of(&file), &["crate"]) {
            let is_allowed =
                named == module || allowed.is_some_and(|columns| columns.contains(named.as_str()));
            if table.contains_key(named.as_str()) && !is_allowed {
                faults.push(format!("{} names `{named}`", file.display()));
            }
        }
        if allowed.is_none() {
            faults.push(format!("`{module}` is not in the table"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn guest_crates_stay_in_their_rooms() {
    let mut faults = Vec::new();
    for file in sources() {
        let place = format!("/{}", file.strip_prefix(root()).unwrap_or(&file).display());
        let words = words_of(stream_of(&file));
        for (guest, rooms) in GUESTS {
            let is_at_home = rooms.iter().any(|room| {
                let room = format!("/{}", room.trim_start_matches('/'));
                place.contains(&room)
            });
            if words.contains(*guest) && !is_at_home {
                faults.push(format!("{place} names `{guest}`"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|file| {
            !fs::read_to_string(file)
                .unwrap_or_default()
                .starts_with("//! ")
        })
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The first folder below `src`; files in `src` itself belong to nobody.
fn module_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root()).ok()?;
    let folder = inside.parent()?.components().next()?;
    Some(folder.as_os_str().to_string_lossy().into_owned())
}

fn sources() -> Vec<PathBuf> {
    let mut folders = vec![root()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Comments and strings are gone once a file is tokens; paths inside macros are not.
fn stream_of(file: &Path) -> TokenStream {
    let text = fs::read_to_string(file).expect("a readable file");
    text.parse().expect("a file that parses")
}

fn tokens_of(file: &Path) -> Vec<TokenTree> {
    flat(stream_of(file))
}

fn flat(stream: TokenStream) -> Vec<TokenTree> {
    stream
        .into_iter()
        .flat_map(|tree| match tree {
            TokenTree::Group(group) => {
                let mut inside = flat(group.stream());
                inside.insert(0, TokenTree::Group(group));
                inside
            }
            other => vec![other],
        })
        .collect()
}

/// The words that follow `word::`, also inside `word::{a, b}`.
fn words_after(tokens: &[TokenTree], words: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Ident(ident) = token else {
            continue;
        };
        let is_path = matches!(tokens.get(at + 1), Some(TokenTree::Punct(punct)) if punct.as_char() == ':')
            && matches!(tokens.get(at + 2), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
        if !is_path || !words.contains(&ident.to_string().as_str()) {
            continue;
        }
        match tokens.get(at + 3) {
            Some(TokenTree::Ident(named)) => {
                found.insert(named.to_string());
            }
            Some(TokenTree::Group(group)) => found.extend(heads_of_list(group.stream())),
            _ => {}
        }
    }
    found
}

/// The first word of each path in `{a::b, c}`.
fn heads_of_list(list: TokenStream) -> Vec<String> {
    let mut heads = Vec::new();
    let mut expects_head = true;
    for token in list {
        match token {
            TokenTree::Ident(ident) if expects_head => {
                heads.push(ident.to_string());
                expects_head = false;
            }
            TokenTree::Punct(punct) if punct.as_char() == ',' => expects_head = true,
            _ => {}
        }
    }
    heads
}

/// Words that begin a path (`word::`); inside `path::{…}` nothing does.
fn words_of(stream: TokenStream) -> BTreeSet<String> {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let is_colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    let mut words = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let follows_path = 1 < at && is_colon(at - 1) && is_colon(at - 2);
        match token {
            TokenTree::Group(group) if !follows_path => words.extend(words_of(group.stream())),
            TokenTree::Ident(ident) if !follows_path && is_colon(at + 1) && is_colon(at + 2) => {
                words.insert(ident.to_string());
            }
            _ => {}
        }
    }
    words
}
