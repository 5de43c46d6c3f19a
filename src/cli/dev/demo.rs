//! The simulated providers of the demo, and the catalog of what they sell.

use std::fmt::Write;

use anyhow::Context;

use super::{
    Servers,
    machine::free_port,
    process::{Order, Processes, stop_signal},
    report::{Models, Upstream},
    state::{Kept, StateFolder, random_text},
};
use crate::{
    base::{Clock, Fault, Secret},
    catalog::{Vault, file},
    cli::{self, operator},
    config::Config,
    control::catalog::{Import, ImportRefused, import},
    egress::Guard,
    store::postgres::{Role, Settings},
};

/// The model that two providers give away and two sell.
const FREE_MODEL: &str = "demo-chat";
/// The model that is only sold.
const PAID_MODEL: &str = "demo-pro";
/// The name that means the first that can be had of both.
const ALIAS: &str = "miser-fast";

/// What one simulated provider is like.
struct Temperament {
    name: &'static str,
    latency_ms: u64,
    tokens_per_second: u64,
    /// Dollars per million tokens read and written; what costs nothing is free.
    price: Option<(&'static str, &'static str)>,
    /// Calls it gives away per minute and per day, and refuses beyond.
    allowance: Option<(u64, u64)>,
    /// Whether it answers Anthropic's clients too.
    speaks_messages: bool,
}

/// Two free and two paid, so that every choice of the miser can be seen.
const FLEET: [Temperament; 4] = [
    Temperament {
        name: "breeze",
        latency_ms: 20,
        tokens_per_second: 400,
        price: None,
        allowance: Some((60, 2_000)),
        speaks_messages: true,
    },
    Temperament {
        name: "glacier",
        latency_ms: 120,
        tokens_per_second: 150,
        price: None,
        allowance: Some((6_000, 1_000_000)),
        speaks_messages: false,
    },
    Temperament {
        name: "penny",
        latency_ms: 60,
        tokens_per_second: 250,
        price: Some(("0.15", "0.60")),
        allowance: None,
        speaks_messages: false,
    },
    Temperament {
        name: "premium",
        latency_ms: 10,
        tokens_per_second: 800,
        price: Some(("3.00", "15.00")),
        allowance: None,
        speaks_messages: true,
    },
];

/// What the demo offers.
#[derive(Clone, Debug)]
pub struct Demo {
    pub models: Models,
    pub upstreams: Vec<Upstream>,
}

impl Demo {
    /// Starts the simulated providers in one process; where they stood before when that is free.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub fn start(
        folder: &StateFolder,
        kept: &mut Kept,
        processes: &mut Processes,
    ) -> anyhow::Result<Self> {
        kept.simulator_ports.resize(FLEET.len(), 0);
        kept.simulator_keys.resize_with(FLEET.len(), random_text);
        for port in &mut kept.simulator_ports {
            *port = free_port(*port)?;
        }
        let upstreams = upstreams(folder, kept);
        folder.write_private("fleet.toml", fleet(kept, &upstreams)?.as_bytes())?;
        if cli::knows("simulate") {
            processes.start(Order {
                name: "simulate",
                program: std::env::current_exe().context("this binary cannot be found")?,
                args: [
                    "simulate",
                    "--fleet",
                    &folder.path("fleet.toml").display().to_string(),
                ]
                .map(str::to_owned)
                .into(),
                variables: Vec::new(),
                account: None,
                stop: stop_signal("simulate"),
                is_ours: true,
            })?;
        }
        let [free, paid, alias] = [FREE_MODEL, PAID_MODEL, ALIAS].map(str::to_owned);
        Ok(Self {
            models: Models { free, paid, alias },
            upstreams,
        })
    }

    /// Makes the books of `servers` say what the providers sell.
    ///
    /// # Errors
    ///
    /// When the books do not take it.
    pub async fn import(
        &self,
        folder: &StateFolder,
        config: &Config,
        servers: &Servers,
        kept: &Kept,
    ) -> anyhow::Result<()> {
        let text = catalog(kept, &self.upstreams)?;
        folder.write_private("catalog.toml", text.as_bytes())?;
        let file = file::parse(&text, &|_| None).map_err(|faults| unfit(&faults))?;
        let vault = Vault::new(&Secret::new(kept.sealing_key.clone()))?;
        let settings = Settings {
            url: Secret::new(servers.database_url.clone()),
            ..Settings::default()
        };
        let postgres = operator::open(&settings, Role::Owner)?;
        let guard = Guard::new(super::planes::egress_of(config), Clock::default());
        let order = Import {
            owner: None,
            file: &file,
            source: "synaxis dev",
            vault: Some(&vault),
            guard: &guard,
            is_pruning: false,
        };
        let mut tx = postgres.begin().await?;
        match import(&mut tx, &order, operator::by()).await {
            Ok(_) => tx.commit().await?,
            Err(ImportRefused::Faulty(faults)) => return Err(unfit(&faults)),
            Err(refused) => return Err(refused.into()),
        }
        Ok(())
    }
}

fn unfit(faults: &[Fault]) -> anyhow::Error {
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the demo catalog does not fit: {}", told.join("; "))
}

fn upstreams(folder: &StateFolder, kept: &Kept) -> Vec<Upstream> {
    let ports = kept.simulator_ports.iter();
    FLEET
        .iter()
        .zip(ports)
        .map(|(one, port)| Upstream {
            name: one.name.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            log: folder
                .path(&format!("log/upstream-{}.jsonl", one.name))
                .display()
                .to_string(),
        })
        .collect()
}

/// Writes what `synaxis simulate --fleet` reads.
fn fleet(kept: &Kept, upstreams: &[Upstream]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for ((one, upstream), key) in FLEET.iter().zip(upstreams).zip(&kept.simulator_keys) {
        let listen = upstream.url.trim_start_matches("http://");
        writeln!(
            text,
            "[[provider]]\nname = {:?}\nlisten = {listen:?}\nlog = {:?}",
            one.name, upstream.log
        )?;
        writeln!(
            text,
            "latency_ms = {}\ntokens_per_second = {}",
            one.latency_ms, one.tokens_per_second
        )?;
        writeln!(
            text,
            "models = {:?}\nrequire_keys = [{key:?}]",
            models_of(one)
        )?;
        if let Some((minute, day)) = one.allowance {
            writeln!(text, "rpm = {minute}\nrpd = {day}")?;
        }
        writeln!(text)?;
    }
    Ok(text)
}

/// The paid providers sell both models; the free ones give only one away.
fn models_of(one: &Temperament) -> Vec<&'static str> {
    match one.price {
        None => vec![FREE_MODEL],
        Some(_) => vec![FREE_MODEL, PAID_MODEL],
    }
}

/// Writes the demo catalog, as `synaxis catalog import` reads it.
fn catalog(kept: &Kept, upstreams: &[Upstream]) -> Result<String, std::fmt::Error> {
    let mut text = String::from("# What the simulated providers of `synaxis dev` sell.\n\n");
    for model in [FREE_MODEL, PAID_MODEL] {
        writeln!(
            text,
            "[[models]]\nname = {model:?}\ncontext_window = 131072\nmax_output = 16384\n"
        )?;
    }
    for (number, ((one, upstream), key)) in FLEET
        .iter()
        .zip(upstreams)
        .zip(&kept.simulator_keys)
        .enumerate()
    {
        provider(
            &mut text,
            (one.name, "openai"),
            number,
            one,
            (&upstream.url, key),
        )?;
        if one.speaks_messages {
            let name = format!("{}-messages", one.name);
            provider(
                &mut text,
                (&name, "anthropic"),
                number,
                one,
                (&upstream.url, key),
            )?;
        }
    }
    writeln!(
        text,
        "[[aliases]]\nname = {ALIAS:?}\nmodels = {:?}",
        [FREE_MODEL, PAID_MODEL]
    )?;
    Ok(text)
}

fn provider(
    text: &mut String,
    (name, dialect): (&str, &str),
    preference: usize,
    one: &Temperament,
    (url, key): (&str, &str),
) -> std::fmt::Result {
    writeln!(
        text,
        "[[providers]]\nname = {name:?}\ndialect = {dialect:?}\nbase_url = \"{url}/v1\"\ncredential = {key:?}\n"
    )?;
    if let Some((minute, day)) = one.allowance {
        for (window, amount) in [("minute", minute), ("day", day)] {
            writeln!(
                text,
                "[[providers.allowances]]\nmeter = \"requests\"\nwindow = {window:?}\namount = {amount}\nshared = true\n"
            )?;
        }
    }
    for model in models_of(one) {
        writeln!(
            text,
            "[[offers]]\nprovider = {name:?}\nmodel = {model:?}\npreference = {preference}"
        )?;
        match one.price {
            None => writeln!(text, "tier = \"free\"\n")?,
            Some((input, output)) => {
                writeln!(
                    text,
                    "tier = \"paid\"\nprice = {{ input = {input}, output = {output} }}\n"
                )?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FLEET, Kept, Upstream, catalog, file, fleet};

    #[test]
    fn the_demo_catalog_and_its_fleet_are_sound() {
        let kept = Kept {
            simulator_keys: vec!["k".to_owned(); FLEET.len()],
            ..Kept::default()
        };
        let upstream = |name: &str| Upstream {
            name: name.to_owned(),
            url: "http://127.0.0.1:9001".to_owned(),
            log: "/tmp/x.jsonl".to_owned(),
        };
        let upstreams: Vec<Upstream> = FLEET.iter().map(|one| upstream(one.name)).collect();

        let text = catalog(&kept, &upstreams).expect("written");
        let file = file::parse(&text, &|_| None).expect("sound");

        assert_eq!(file.providers.len(), 6);
        assert_eq!(file.credentials.len(), 6);
        assert_eq!(file.offers.len(), 9);
        let fleet: toml::Table = fleet(&kept, &upstreams)
            .expect("written")
            .parse()
            .expect("TOML");
        assert_eq!(fleet["provider"].as_array().map(Vec::len), Some(4));
    }
}
