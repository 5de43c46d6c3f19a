//! One call to each target before the load: a fast wrong answer must not win.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::{scenario::Scenario, target::Target};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Calls `target` once and checks that the answer is whole.
pub(crate) fn answers(target: &Target, scenario: &Scenario) -> anyhow::Result<()> {
    let answer = post(target, &scenario.body)
        .with_context(|| format!("{} does not answer ({})", target.name, scenario.title))?;
    let status = answer.lines().next().unwrap_or_default();
    ensure!(
        status.contains(" 200 "),
        "{} answers {status} ({}):\n{answer}",
        target.name,
        scenario.title
    );
    let is_whole = match scenario.events {
        Some(events) => answer.matches("data: ").count() == events && answer.contains("[DONE]"),
        None => answer.contains(r#""prompt_tokens":120"#),
    };
    ensure!(
        is_whole,
        "{} answers something else ({}):\n{answer}",
        target.name,
        scenario.title
    );
    Ok(())
}

fn post(target: &Target, body: &str) -> anyhow::Result<String> {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        target.address,
        target.api_key,
        body.len()
    );
    ask(target.address, &format!("{head}{body}"))
}

/// Returns the answer to a GET, head included.
pub(crate) fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"),
    )
}

fn ask(address: SocketAddr, request: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // A provider that keeps the connection open is read until it rests.
    let read = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        read?;
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
