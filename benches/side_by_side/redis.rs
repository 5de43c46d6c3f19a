//! What Redis was asked, by its own count.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, bail};
use url::Url;

/// How often each command ran, those inside of scripts too, and for how many µs.
pub(crate) type Commands = BTreeMap<String, Counted>;

/// One command's count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) took_us: u64,
}

/// Reads the counts.
pub(crate) fn commands(url: &str) -> anyhow::Result<Commands> {
    let url = Url::parse(url)?;
    let host = url.host_str().context("the Redis URL has no host")?;
    let stream = TcpStream::connect((host, url.port().unwrap_or(6379)))?;
    let mut reader = BufReader::new(stream);
    if let Some(password) = url.password() {
        let user = Some(url.username())
            .filter(|user| !user.is_empty())
            .unwrap_or("default");
        ask(&mut reader, &["auth", user, password])?;
    }
    let info = ask(&mut reader, &["info", "commandstats"])?;
    Ok(info.lines().filter_map(counted).collect())
}

/// Returns what was counted between two readings.
pub(crate) fn since(before: &Commands, after: Commands) -> Commands {
    let mut grown = after;
    for (name, counted) in &mut grown {
        let earlier = before.get(name).copied().unwrap_or_default();
        counted.calls = counted.calls.saturating_sub(earlier.calls);
        counted.took_us = counted.took_us.saturating_sub(earlier.took_us);
    }
    grown.retain(|_, counted| counted.calls != 0);
    grown
}

/// Reads one line such as `cmdstat_get:calls=2,usec=5,usec_per_call=2.50,…`.
fn counted(line: &str) -> Option<(String, Counted)> {
    let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
    let field = |wanted: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.split_once('='));
        fields.find(|(name, _)| *name == wanted)?.1.parse().ok()
    };
    let counted = Counted {
        calls: field("calls")?,
        took_us: field("usec")?,
    };
    Some((name.to_owned(), counted))
}

fn ask(reader: &mut BufReader<TcpStream>, words: &[&str]) -> anyhow::Result<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    reader.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    if let Some(length) = line.strip_prefix('$') {
        let mut bytes = vec![0; length.parse::<usize>()? + 2];
        reader.read_exact(&mut bytes)?;
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    if line.starts_with('-') {
        bail!("Redis refuses {}: {line}", words.first().unwrap_or(&""));
    }
    Ok(line.to_owned())
}
