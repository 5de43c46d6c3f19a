//! Serves both listeners until told to stop, and lets open requests end first.

use std::{io, time::Duration};

use tokio::{net::TcpListener, sync::watch};

use super::{Plane, Settings, connections::Door, router};

/// The listeners of the sidecar, bound before anything else is made so that a taken port shows at once.
#[derive(Debug)]
pub struct Listeners {
    public: TcpListener,
    operations: TcpListener,
}

impl Listeners {
    /// Binds both addresses.
    ///
    /// # Errors
    ///
    /// When an address is taken or not ours; the error names it.
    pub async fn bind(settings: &Settings) -> io::Result<Self> {
        let bind = async |address| {
            let bound = TcpListener::bind(address).await;
            bound.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
        };
        Ok(Self {
            public: bind(settings.listen).await?,
            operations: bind(settings.operations_listen).await?,
        })
    }
}

/// Serves until `plane.stopping` turns true and open requests have ended, at most `drain` later.
///
/// The operations listener answers until the end: a balancer must be able to read that we drain.
///
/// # Errors
///
/// When a listener fails.
pub async fn serve(listeners: Listeners, plane: Plane, drain: Duration) -> io::Result<()> {
    let (drained, is_drained) = watch::channel(false);
    let public = Door::new(&plane, router::api(plane.clone()));
    let public = public.serve(listeners.public, plane.stopping.clone());
    let operations = Door::new(&plane, router::operations(plane.clone()));
    let operations = operations.serve(listeners.operations, is_drained);
    let public_then_tell = async {
        let ended = within(drain, plane.stopping, public).await;
        drained.send_replace(true);
        ended
    };
    // Whoever still reads the operations listener does not hold up the end.
    tokio::select! {
        ended = public_then_tell => ended,
        ended = operations => ended,
    }
}

/// Waits for `serving`, but no longer than `drain` once `stopping` is true.
async fn within(
    drain: Duration,
    mut stopping: watch::Receiver<bool>,
    serving: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let cut = async {
        let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
        tokio::time::sleep(drain).await;
        tracing::warn!("open requests are cut: they did not end within the drain");
    };
    tokio::select! {
        ended = serving => ended,
        () = cut => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::watch,
    };

    use super::{Listeners, serve};
    use crate::{
        admin::{Metrics, Plane, Settings},
        base::{Clock, Secret, tasks::Tasks},
        control::identity::Door,
        egress::{self, Guard},
        identity,
        store::{
            Vault,
            postgres::{self, Postgres, Role},
        },
    };

    async fn answer(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("read");
        text
    }

    fn door(postgres: Postgres) -> Door {
        let vault = Vault::new(&Secret::new("k".repeat(32))).expect("long enough");
        let settings = identity::Settings::default();
        Door::open(settings, vault, postgres)
    }

    #[tokio::test]
    async fn the_sidecar_lives_without_postgres_says_it_is_not_ready_and_stops_when_told() {
        let database = postgres::Settings {
            url: Secret::new("postgres://nobody@127.0.0.1:1/none".to_owned()),
            acquire_timeout_ms: 50,
            ..postgres::Settings::default()
        };
        let any_port = ([127, 0, 0, 1], 0).into();
        let settings = Settings {
            listen: any_port,
            operations_listen: any_port,
            ..Settings::default()
        };
        let listeners = Listeners::bind(&settings).await.expect("bound");
        let public = listeners.public.local_addr().expect("bound");
        let operations = listeners.operations.local_addr().expect("bound");
        let (stop, stopping) = watch::channel(false);
        let postgres = Postgres::connect(&database, Role::Admin).expect("lazy");
        let metrics = Metrics::new().expect("named once");
        let vault = Vault::new(&Secret::new("k".repeat(32))).expect("long enough");
        let guard = Guard::new(egress::Settings::default(), Clock::System);
        let plane = Plane::new(settings, door(postgres), vault, guard, metrics, stopping);

        let serving =
            Tasks::default().spawn("admin", serve(listeners, plane, Duration::from_secs(5)));

        assert!(answer(public, "/livez").await.starts_with("HTTP/1.1 200"));
        assert!(
            answer(operations, "/livez")
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(
            answer(operations, "/readyz")
                .await
                .ends_with("postgres is away\n")
        );
        assert!(
            answer(public, "/api/v1/version")
                .await
                .contains("\"version\":")
        );
        assert!(
            answer(operations, "/metrics")
                .await
                .contains("synaxis_build_info")
        );
        assert!(
            answer(operations, "/api/v1/version")
                .await
                .starts_with("HTTP/1.1 404")
        );
        assert!(
            answer(public, "/nowhere")
                .await
                .contains("\"code\":\"not_found\"")
        );
        stop.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_secs(5), serving).await;
        assert!(ended.expect("in time").expect("no panic").is_ok());
    }
}
