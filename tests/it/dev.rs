//! `synaxis dev`: ready soon, the same again, and no process left whoever dies.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Patience for what usually takes a second; the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `synaxis dev` of its own state folder and ports.
struct Dev {
    child: Child,
    report: Value,
}

impl Dev {
    fn start(state: &Path) -> Self {
        let file = state.join("dev.json");
        let stale = fs::read(&file).unwrap_or_default();
        let mut child = command(state).spawn().expect("started");
        let begun = Instant::now();
        while fs::read(&file).map_or(true, |report| report == stale) {
            assert_eq!(child.try_wait().expect("asked"), None, "it ended");
            assert!(begun.elapsed() < PATIENCE, "it is not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        let report = serde_json::from_slice(&fs::read(&file).expect("read")).expect("JSON");
        Self { child, report }
    }

    fn pids(&self) -> Vec<i32> {
        let pids = self.report["pids"].as_object().expect("an object");
        pids.values()
            .filter_map(Value::as_i64)
            .map(|pid| i32::try_from(pid).expect("a pid"))
            .collect()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a pid");
        kill_process(pid, signal).expect("signalled");
    }

    fn end(mut self, signal: Signal) -> Option<i32> {
        self.signal(signal);
        self.child.wait().expect("ended").code()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that the user who runs Postgres can pass through, so that its data goes with the folder.
fn passable_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("ours");
    folder
}

fn command(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synaxis"));
    command.arg("dev").arg("--state-dir").arg(state);
    for flag in [
        "--proxy-addr",
        "--admin-addr",
        "--metrics-addr",
        "--admin-metrics-addr",
    ] {
        command.args([flag, "127.0.0.1:0"]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Says whether the process runs; one that ended and was not yet waited for does not.
fn is_running(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn wait_until_gone(pids: &[i32]) {
    let begun = Instant::now();
    while pids.iter().any(|pid| is_running(*pid)) {
        assert!(begun.elapsed() < PATIENCE, "still running: {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_second_start_finds_the_same_key_and_ctrl_c_leaves_no_process() {
    let root = passable_folder();
    let state = root.path().join("state");

    let first = Dev::start(&state);
    let key = first.report["api_key"].clone();
    let pids = first.pids();
    assert!(
        key.as_str()
            .is_some_and(|key| key.starts_with("synaxis_build_"))
    );
    assert_eq!(pids.len(), 5, "{pids:?}");
    let mode = fs::metadata(state.join("dev.json"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(first.end(Signal::INT), Some(0));
    assert!(!pids.iter().any(|pid| is_running(*pid)), "{pids:?}");
    assert!(!state.join("dev.json").exists());

    let second = Dev::start(&state);
    assert_eq!(second.report["api_key"], key);
    let pids = second.pids();
    assert_eq!(second.end(Signal::TERM), Some(0));
    assert!(!pids.iter().any(|pid| is_running(*pid)), "{pids:?}");
}

#[test]
fn the_demo_key_calls_a_free_model_at_once() {
    let root = passable_folder();
    let dev = Dev::start(&root.path().join("state"));
    let key = dev.report["api_key"].as_str().expect("a key");
    let alias = dev.report["models"]["alias"].as_str().expect("a name");
    let body = format!(r#"{{"model":"{alias}","messages":[{{"role":"user","content":"Hello"}}]}}"#);

    let answer = post(&dev.report["proxy_url"], "/v1/chat/completions", key, &body);

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("x-synaxis-tier: free"), "{answer}");
    let logs = dev.report["upstreams"].as_array().expect("a list").iter();
    let seen: usize = logs
        .map(|upstream| fs::read_to_string(upstream["log"].as_str().expect("a path")))
        .map(|log| log.unwrap_or_default().lines().count())
        .sum();
    assert_eq!(seen, 1);
    assert_eq!(dev.end(Signal::INT), Some(0));
}

#[test]
fn the_demo_owner_signs_in_with_the_password_that_was_told() {
    let root = passable_folder();
    let dev = Dev::start(&root.path().join("state"));
    let [email, password] = ["admin_email", "admin_password"].map(|name| &dev.report[name]);
    let body = serde_json::json!({"email": email, "password": password}).to_string();

    let answer = post(&dev.report["admin_url"], "/api/v1/auth/login", "-", &body);

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"status\":\"signed_in\""), "{answer}");
    assert_eq!(dev.end(Signal::INT), Some(0));
}

/// Posts a body and returns the answer, head and body.
fn post(url: &Value, path: &str, key: &str, body: &str) -> String {
    let address = url
        .as_str()
        .and_then(|url| url.strip_prefix("http://"))
        .expect("a URL");
    let mut stream = TcpStream::connect(address).expect("connected");
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("written");
    stream.write_all(body.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

#[test]
fn a_killed_dev_takes_its_processes_along_and_the_next_one_starts() {
    let root = passable_folder();
    let state = root.path().join("state");

    let first = Dev::start(&state);
    let pids = first.pids();
    assert_eq!(first.end(Signal::KILL), None);
    wait_until_gone(&pids);

    let second = Dev::start(&state);
    assert_eq!(second.end(Signal::TERM), Some(0));
}

#[test]
fn when_one_of_its_processes_dies_dev_says_so_and_stops() {
    let root = passable_folder();
    let mut dev = Dev::start(&root.path().join("state"));
    let pids = dev.pids();
    let admin = dev.report["pids"]["admin"]
        .as_i64()
        .and_then(|pid| i32::try_from(pid).ok());
    let admin = admin.and_then(Pid::from_raw).expect("a pid");

    kill_process(admin, Signal::KILL).expect("killed");

    assert_eq!(dev.child.wait().expect("ended").code(), Some(1));
    assert!(!pids.iter().any(|pid| is_running(*pid)), "{pids:?}");
}

#[test]
fn one_state_folder_serves_one_dev_at_a_time() {
    let root = passable_folder();
    let state = root.path().join("state");
    let first = Dev::start(&state);

    let second = command(&state)
        .stderr(Stdio::piped())
        .output()
        .expect("ended");

    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("--state-dir"));
    assert!(state.join("dev.json").exists());
    assert_eq!(first.end(Signal::INT), Some(0));
}
