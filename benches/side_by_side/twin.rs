//! The yardstick: a Pingora proxy that names its upstream and does nothing else.

use std::{net::SocketAddr, process::ExitCode};

use async_trait::async_trait;
use pingora::{
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};

struct Twin {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Twin {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

/// Serves on one thread until it is told to stop.
pub(crate) fn run(listen: SocketAddr, upstream: SocketAddr) -> anyhow::Result<ExitCode> {
    let conf = ServerConf {
        threads: 1,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Twin { upstream });
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}
