//! What the configuration accepts, refuses and shows.

use std::{collections::BTreeSet, fs};

use serde::Deserialize;

use super::read;
use crate::config::{Config, Environment, Source, print::DEFAULTS, shape::Shape};

/// A source of nothing but `variables`.
fn variables(variables: &[(&str, &str)]) -> Source {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Source {
        // A file that has nothing, so that no file of the working folder is read.
        file: Some("/dev/null".into()),
        variables: variables.iter().map(owned).collect(),
        flags: Vec::new(),
    }
}

fn paths(source: &Source) -> Vec<String> {
    read(source)
        .faults()
        .iter()
        .map(|fault| fault.path.clone())
        .collect()
}

/// The least that production needs.
const SOUND: &[(&str, &str)] = &[
    (
        "SYNAXIS__DATABASE__URL",
        "postgres://synaxis:k2V9bq0yGdRr@db.example/synaxis",
    ),
    (
        "SYNAXIS__SECURITY__SEALING_KEY",
        "k2V9bq0yGdRr8mXnT4sLwZ7uPfHcJ1aEoQ5iB3tN6vY",
    ),
];

#[test]
fn production_needs_a_database_and_a_sealing_key_and_nothing_else() {
    assert_eq!(
        paths(&variables(&[])),
        ["database.url", "security.sealing_key"]
    );
    assert_eq!(paths(&variables(SOUND)), [""; 0]);
}

#[test]
fn the_commented_file_tells_every_default() {
    let written: Config = toml::from_str(DEFAULTS).expect("the file is sound");

    let default = Config::default();
    assert_eq!(format!("{written:#?}"), format!("{default:#?}"));
    assert_eq!(written.redis.url.expose(), default.redis.url.expose());
    assert_eq!(written.database.url.expose(), default.database.url.expose());
    assert_eq!(
        written.security.sealing_key.expose(),
        default.security.sealing_key.expose()
    );
}

#[test]
fn the_commented_file_tells_every_setting_and_no_other() {
    let mut section = String::new();
    let mut told = BTreeSet::new();
    for line in DEFAULTS.lines() {
        let bare = line.trim_start_matches("# ");
        if let Some(name) = bare
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = format!("{name}.");
        }
        let name = bare.split_once(" = ").map(|(name, _)| name);
        if let Some(name) = name.filter(|name| !name.contains(' ')) {
            told.insert(format!("{section}{name}"));
        }
    }

    let mut known = BTreeSet::new();
    Shape::of::<Config>().each_leaf(&mut |path, _| {
        known.insert(path.to_owned());
    });

    assert_eq!(told, known);
}

#[test]
fn every_fault_is_told_at_once_with_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("synaxis.toml");
    let text = "enviroment = 'production'\n[proxy]\nlisten = 'nowhere'\ndrain_s = 0\nthraeds = 4\n[admin]\nlisten = '127.0.0.1:9464'\n";
    fs::write(&file, text).expect("written");
    let source = Source {
        file: Some(file),
        variables: vec![
            ("SYNAXIS__PROXY__THREADS".to_owned(), "many".to_owned()),
            ("SYNAXIS__REDIS__KEYPREFIX".to_owned(), "x".to_owned()),
            ("SYNAXIS__REDIS__KEY_PREFIX".to_owned(), "x:".to_owned()),
        ],
        flags: vec![("egress.allow".to_owned(), "10.0.0.0/33".to_owned())],
    };

    let found: BTreeSet<String> = paths(&source).into_iter().collect();

    let expected = [
        "admin.listen",
        "database.url",
        "egress.allow",
        "enviroment",
        "proxy.drain_s",
        "proxy.listen",
        "proxy.threads",
        "proxy.thraeds",
        "redis.keyprefix",
        "security.sealing_key",
    ];
    assert_eq!(found, expected.into_iter().map(str::to_owned).collect());
}

#[test]
fn a_misspelt_setting_is_told_its_neighbour() {
    let source = variables(&[("SYNAXIS__PROXY__LISTENN", "127.0.0.1:1")]);

    let effective = read(&source);

    let fault = effective.faults().first().expect("a fault");
    assert_eq!(fault.what, "is no setting (SYNAXIS__PROXY__LISTENN)");
    assert_eq!(fault.mend, "did you mean proxy.listen?");
}

#[test]
fn a_flag_beats_the_environment_and_the_environment_beats_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("synaxis.toml");
    fs::write(
        &file,
        "[proxy]\nthreads = 1\ndrain_s = 1\nkeepalive_s = 1\n",
    )
    .expect("written");
    let source = Source {
        file: Some(file),
        variables: vec![
            ("SYNAXIS__PROXY__DRAIN_S".to_owned(), "2".to_owned()),
            ("SYNAXIS__PROXY__KEEPALIVE_S".to_owned(), "2".to_owned()),
        ],
        flags: vec![("proxy.keepalive_s".to_owned(), "3".to_owned())],
    };

    let effective = read(&source);

    let proxy = &effective.config().proxy;
    assert_eq!((proxy.threads, proxy.drain_s, proxy.keepalive_s), (1, 2, 3));
}

#[test]
fn a_secret_may_be_given_as_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    fs::write(&file, "k2V9bq0yGdRr8mXnT4sLwZ7uPfHcJ1aEoQ5iB3tN6vY\n").expect("written");
    let shown = file.display().to_string();

    let given = read(&variables(&[(
        "SYNAXIS__SECURITY__SEALING_KEY_FILE",
        &shown,
    )]));
    let twice = read(&variables(&[
        ("SYNAXIS__SECURITY__SEALING_KEY", "anything"),
        ("SYNAXIS__SECURITY__SEALING_KEY_FILE", &shown),
    ]));
    let missing = read(&variables(&[(
        "SYNAXIS__SECURITY__SEALING_KEY_FILE",
        "/nowhere/key",
    )]));

    assert_eq!(
        given.config().security.sealing_key.expose(),
        "k2V9bq0yGdRr8mXnT4sLwZ7uPfHcJ1aEoQ5iB3tN6vY"
    );
    assert!(
        twice
            .faults()
            .iter()
            .any(|fault| fault.what.contains("both as text and as a file"))
    );
    assert!(
        missing
            .faults()
            .iter()
            .any(|fault| fault.path == "security.sealing_key_file")
    );
}

#[test]
fn production_refuses_what_development_may_have() {
    let loose = [
        (
            "SYNAXIS__DATABASE__URL",
            "postgres://postgres:postgres@127.0.0.1/synaxis",
        ),
        ("SYNAXIS__SECURITY__SEALING_KEY", "changeme"),
        ("SYNAXIS__ADMIN__ORIGINS", "*"),
        ("SYNAXIS__PROXY__TRUSTED_PROXIES", "0.0.0.0/0"),
        ("SYNAXIS__EGRESS__ALLOW", "127.0.0.0/8,::/0"),
    ];
    let mut developing = loose.to_vec();
    developing.push(("SYNAXIS__ENVIRONMENT", "development"));

    assert_eq!(
        paths(&variables(&loose)),
        [
            "security.sealing_key",
            "database.url",
            "admin.origins",
            "proxy.trusted_proxies",
            "egress.allow"
        ]
    );
    let effective = read(&variables(&developing));
    assert_eq!(effective.faults(), []);
    assert_eq!(effective.config().environment, Environment::Development);
}

#[test]
fn listeners_must_not_share_a_place() {
    let mut shared = SOUND.to_vec();
    shared.push(("SYNAXIS__PROXY__LISTEN", "0.0.0.0:9464"));
    shared.push(("SYNAXIS__ADMIN__LISTEN", "127.0.0.1:0"));
    shared.push(("SYNAXIS__ADMIN__OPERATIONS_LISTEN", "127.0.0.1:0"));

    assert_eq!(paths(&variables(&shared)), ["proxy.operations_listen"]);
}

#[test]
fn a_command_is_refused_only_for_the_sections_it_reads() {
    let without_key = variables(&SOUND[..1]);
    let mut misspelt = without_key.clone();
    misspelt
        .variables
        .push(("SYNAXIS__DATABASSE__URL".to_owned(), "x".to_owned()));

    assert!(read(&without_key).accept(&["database"]).is_ok());
    assert!(
        read(&without_key)
            .accept(&["database", "security"])
            .is_err()
    );
    assert!(read(&without_key).accept(&[]).is_err());
    assert!(read(&misspelt).accept(&["database"]).is_err());
}

#[test]
fn the_printed_file_shows_who_set_what_and_no_secret() {
    let mut set = SOUND.to_vec();
    set.push(("SYNAXIS__DATABASE__PROXY_PASSWORD", "b7qk20xwPaHs"));
    set.push(("SYNAXIS__PROXY__DRAIN_S", "7"));

    let printed = read(&variables(&set)).redacted();

    assert!(printed.contains("drain_s = 7  # SYNAXIS__PROXY__DRAIN_S"));
    assert!(printed.contains("[hidden]"));
    for secret in ["k2V9bq0yGdRr", "b7qk20xwPaHs", "8mXnT4sLwZ7"] {
        assert!(!printed.contains(secret), "{printed}");
    }
    let parsed: toml::Table = printed.parse().expect("the printed file is TOML");
    assert!(Config::deserialize(toml::Value::Table(parsed)).is_ok());
}
