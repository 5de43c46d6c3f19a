//! `synaxis check`: every fault at once, and the exit that says so.

use std::process::{Command, Output};

fn check(variables: &[(&str, &str)], args: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_synaxis"))
        .arg("check")
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder.path())
        .output()
        .expect("ended")
}

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
fn a_sound_configuration_needs_no_file() {
    assert_eq!(check(SOUND, &[]).status.code(), Some(0));
}

#[test]
fn all_faults_are_told_in_one_go() {
    let mut variables = SOUND.to_vec();
    variables.push(("SYNAXIS__PROXY__LISTEN", "nowhere"));
    variables.push(("SYNAXIS__PROXY__THRAEDS", "4"));
    variables.push(("SYNAXIS__USAGE__SPOOL_DIR", "/dev/null/spool"));

    let output = check(&variables, &["--set", "admin.drain_s=0"]);

    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.starts_with("4 faults in the configuration"), "{told}");
    for path in [
        "proxy.listen",
        "proxy.thraeds",
        "usage.spool_dir",
        "admin.drain_s",
    ] {
        assert!(told.contains(&format!("\n  {path}: ")), "{told}");
    }
}

#[test]
fn what_is_printed_can_be_read_and_holds_no_secret() {
    let output = check(SOUND, &["--print"]);

    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.parse::<toml::Table>().is_ok(), "{printed}");
    assert!(!printed.contains("k2V9bq0yGdRr"), "{printed}");
}
