//! Looks for what weakens an organization or the platform, keeps what it finds until it is gone, and tells people.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use serde_json::json;

use super::{
    Agent, Fault, Mode, Report, Waking,
    tools::{alert, audit},
};
use crate::{
    alerts::Alert,
    audit::finding::Found,
    base,
    realtime::{Event, outbox},
    store::{StoreError, Whose},
    tenancy::{Permission, Permissions},
};

/// What looks for weaknesses.
#[derive(Clone, Debug)]
pub struct SecurityAudit {
    /// Secrets of this installation that can be guessed, as its configuration has them.
    pub weak_secrets: Vec<base::Fault>,
}

/// How bad a finding is, as alerts and events say it.
fn severity(found: &Found) -> alert::Severity {
    match found.severity.as_str() {
        "low" => alert::Severity::Info,
        "critical" => alert::Severity::Critical,
        _ => alert::Severity::Warning,
    }
}

#[derive(Debug, Default, Serialize)]
struct Seen {
    chains_broken: usize,
    findings: usize,
    opened: usize,
    resolved: usize,
}

#[async_trait]
impl Agent for SecurityAudit {
    fn name(&self) -> &'static str {
        "security_audit"
    }

    fn permissions(&self) -> Permissions {
        [
            Permission::AuditRead,
            Permission::SecurityRead,
            Permission::AlertsWrite,
        ]
        .into_iter()
        .collect()
    }

    async fn wake(&self, waking: &Waking) -> Result<Report, Fault> {
        let mut found: BTreeMap<Whose, Vec<Found>> = BTreeMap::new();
        for owner in audit::owners(waking).await? {
            found.entry(owner).or_default();
        }
        for (owner, one) in audit::query(waking).await? {
            found.entry(owner).or_default().push(one);
        }
        let broken = audit::verify_chains(waking).await?;
        let mut seen = Seen {
            chains_broken: broken.len(),
            ..Seen::default()
        };
        for (owner, fault) in broken {
            found.entry(owner).or_default().push(chain_broken(fault));
        }
        let weak = self.weak_secrets.iter().map(weak_secret);
        found.entry(Whose::Platform).or_default().extend(weak);
        for (owner, found) in found {
            seen.findings += found.len();
            keep(waking, owner, &found, &mut seen).await?;
        }
        Report::of(&seen)
    }
}

fn chain_broken(fault: crate::audit::verify::Fault) -> Found {
    Found {
        kind: "audit_chain_broken".to_owned(),
        severity: "critical".to_owned(),
        fingerprint: "audit_chain_broken".to_owned(),
        message: format!("the audit log does not hold: {fault}"),
        target_kind: None,
        target_id: None,
        details: json!(fault),
    }
}

fn weak_secret(fault: &base::Fault) -> Found {
    Found {
        kind: "weak_secret".to_owned(),
        severity: "critical".to_owned(),
        fingerprint: format!("weak_secret:{}", fault.path),
        message: format!("{} {}", fault.path, fault.what),
        target_kind: None,
        target_id: None,
        details: json!({ "setting": fault.path }),
    }
}

/// Keeps what was found of one owner, and tells of what is new, in one transaction.
async fn keep(
    waking: &Waking,
    owner: Whose,
    found: &[Found],
    seen: &mut Seen,
) -> Result<(), Fault> {
    let mut tx = waking.postgres.begin_as(owner).await?;
    let noted = audit::keep(waking, &mut tx, owner, found).await?;
    seen.opened += noted.opened.len();
    seen.resolved += noted.resolved.len();
    if waking.mode == Mode::Dry {
        return Ok(());
    }
    let organization = match owner {
        Whose::Platform => None,
        Whose::Organization(organization) => Some(organization),
    };
    for one in &noted.opened {
        let severity = severity(one);
        let event = Event::SecurityAlert {
            alert_type: one.kind.clone(),
            severity: severity.word().to_owned(),
            message: one.message.clone(),
            detected_at: waking.now,
        };
        outbox::emit(&mut tx, organization, &event).await?;
        if severity != alert::Severity::Info {
            alert::raise(waking, &mut tx, &alert_of(owner, one, severity)).await?;
        }
    }
    for print in &noted.resolved {
        alert::resolve(waking, &mut tx, owner, &fingerprint(print)).await?;
    }
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}

fn fingerprint(print: &str) -> String {
    format!("security:{print}").chars().take(200).collect()
}

fn alert_of(owner: Whose, found: &Found, severity: alert::Severity) -> Alert {
    Alert {
        organization: owner.organization().map(Into::into),
        kind: found.kind.clone(),
        severity,
        fingerprint: fingerprint(&found.fingerprint),
        message: found.message.clone(),
        details: found.details.clone(),
    }
}
