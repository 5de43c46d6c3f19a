//! The private Redis: loopback, a password, and a log of its own so that a second start finds the counters.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    machine::{free_port, redis_binary},
    process::{Order, Processes, stop_signal},
    state::{Kept, StateFolder},
};

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked.
const GLANCE: Duration = Duration::from_millis(10);

/// Starts the server and returns its URL.
///
/// # Errors
///
/// When the binary is missing or no port is free.
pub fn start(
    folder: &StateFolder,
    kept: &mut Kept,
    processes: &mut Processes,
) -> anyhow::Result<String> {
    let program = redis_binary()?;
    let data = folder.private_folder("redis")?;
    kept.redis_port = free_port(kept.redis_port)?;
    // In a file, because a command line can be read by everyone on the machine.
    folder.write_private(
        "redis/redis.conf",
        settings(kept, &data.display().to_string()).as_bytes(),
    )?;
    processes.start(Order {
        name: "redis",
        program,
        args: vec![data.join("redis.conf").display().to_string()],
        variables: Vec::new(),
        account: None,
        stop: stop_signal("redis"),
        is_ours: false,
    })?;
    Ok(format!(
        "redis://:{}@127.0.0.1:{}",
        kept.redis_password, kept.redis_port
    ))
}

fn settings(kept: &Kept, data: &str) -> String {
    let Kept {
        redis_port,
        redis_password,
        ..
    } = kept;
    format!(
        "bind 127.0.0.1\nport {redis_port}\nrequirepass {redis_password}\ndir \"{data}\"\n\
         daemonize no\nsave \"\"\nappendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\n"
    )
}

/// Waits until the server has read its log and answers.
///
/// # Errors
///
/// When it does not answer in time or has another password.
pub async fn ready(kept: &Kept) -> anyhow::Result<()> {
    let asked = async {
        loop {
            match ask(kept).await {
                Ok(answer) if answer.starts_with("+OK") && answer.contains("+PONG") => {
                    return Ok(());
                }
                Ok(answer) if answer.starts_with("-WRONGPASS") => {
                    bail!("the private Redis has another password: start once with --fresh")
                }
                _ => tokio::time::sleep(GLANCE).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked)
        .await
        .context("the private Redis does not answer")?
}

async fn ask(kept: &Kept) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", kept.redis_port)).await?;
    let question = format!("AUTH {}\r\nPING\r\nQUIT\r\n", kept.redis_password);
    stream.write_all(question.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
