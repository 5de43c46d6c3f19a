//! What Synaxis is measured beside: the provider itself, bare Pingora, and plain proxies that are installed.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::Context;

use crate::{
    cores::Cores,
    process::{Order, Running, find_program, free_address},
    target::{BARE, DIRECT, Target},
};

/// A running process and what is called there.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) target: Target,
    _process: Running,
}

/// How many idle connections to the provider each peer keeps.
const KEPT: usize = 256;

/// Starts this binary as the provider.
pub(crate) async fn upstream(folder: &Path, cores: &Cores) -> anyhow::Result<Peer> {
    let listen = free_address()?;
    let order = Order {
        name: "upstream",
        cores: &cores.servers,
        program: &std::env::current_exe()?,
        args: vec!["upstream".to_owned(), listen.to_string()],
        variables: Vec::new(),
    };
    let mut process = Running::start(order, folder)?;
    process.until_listening(listen).await?;
    let target = Target::open(DIRECT, listen, Vec::new());
    Ok(Peer {
        target,
        _process: process,
    })
}

/// Starts this binary as a bare Pingora proxy.
pub(crate) async fn bare(
    folder: &Path,
    cores: &Cores,
    upstream: SocketAddr,
) -> anyhow::Result<Peer> {
    let listen = free_address()?;
    let order = Order {
        name: "twin",
        cores: &cores.target,
        program: &std::env::current_exe()?,
        args: vec!["twin".to_owned(), listen.to_string(), upstream.to_string()],
        variables: Vec::new(),
    };
    let mut process = Running::start(order, folder)?;
    process.until_listening(listen).await?;
    let target = Target::open(BARE, listen, vec![process.pid()]);
    Ok(Peer {
        target,
        _process: process,
    })
}

/// Starts nginx as a plain reverse proxy, when it is installed.
pub(crate) async fn nginx(
    folder: &Path,
    cores: &Cores,
    upstream: SocketAddr,
) -> anyhow::Result<Option<Peer>> {
    let Some(program) = find_program("nginx") else {
        return Ok(None);
    };
    let listen = free_address()?;
    let place = folder.display();
    let file = folder.join("nginx.conf");
    // One process and no master: its processor time is one figure.
    let text = format!(
        "daemon off;\nmaster_process off;\nworker_processes 1;\npid {place}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  client_body_buffer_size 2m;\n  client_max_body_size 64m;\n  keepalive_requests 1000000000;\n\
         client_body_temp_path {place}/nginx-body;\n  proxy_temp_path {place}/nginx-proxy;\n  fastcgi_temp_path {place}/nginx-fastcgi;\n\
         uwsgi_temp_path {place}/nginx-uwsgi;\n  scgi_temp_path {place}/nginx-scgi;\n\
         upstream provider {{ server {upstream}; keepalive {KEPT}; keepalive_requests 1000000000; }}\n\
         server {{ listen {listen}; location / {{ proxy_pass http://provider; proxy_http_version 1.1;\n\
         proxy_set_header Connection \"\"; proxy_buffering off; }} }}\n}}\n"
    );
    fs::write(&file, text)?;
    let args = vec!["-c".to_owned(), file.display().to_string()];
    start("nginx", &program, args, listen, folder, cores)
        .await
        .map(Some)
}

/// Starts `HAProxy` as a plain reverse proxy, when it is installed.
pub(crate) async fn haproxy(
    folder: &Path,
    cores: &Cores,
    upstream: SocketAddr,
) -> anyhow::Result<Option<Peer>> {
    let Some(program) = find_program("haproxy") else {
        return Ok(None);
    };
    let listen = free_address()?;
    let file = folder.join("haproxy.cfg");
    let text = format!(
        "global\n  nbthread 1\n  maxconn 4096\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend callers\n  bind {listen}\n  default_backend providers\n\
         backend providers\n  http-reuse always\n  server provider {upstream} pool-max-conn {KEPT}\n"
    );
    fs::write(&file, text)?;
    let args = vec![
        "-db".to_owned(),
        "-f".to_owned(),
        file.display().to_string(),
    ];
    start("haproxy", &program, args, listen, folder, cores)
        .await
        .map(Some)
}

async fn start(
    name: &'static str,
    program: &Path,
    args: Vec<String>,
    listen: SocketAddr,
    folder: &Path,
    cores: &Cores,
) -> anyhow::Result<Peer> {
    let order = Order {
        name,
        cores: &cores.target,
        program,
        args,
        variables: Vec::new(),
    };
    let mut process = Running::start(order, folder)?;
    process
        .until_listening(listen)
        .await
        .with_context(|| format!("{name} as a peer"))?;
    let target = Target::open(name, listen, vec![process.pid()]);
    Ok(Peer {
        target,
        _process: process,
    })
}
