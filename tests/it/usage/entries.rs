//! Entries and folders for tests.

use std::{path::Path, sync::Arc};

use synaxis::{
    base::{
        ApiKeyId, Clock, GroupId, ModelId, Moment, NanoUsd, OfferId, OrganizationId, ProviderId,
        RequestId, Tokens, Usage, UserId,
    },
    usage::{AttemptRecord, Entry, Finish, Intent, Settings, Spool},
};
use uuid::Uuid;

/// The `number`th of a kind of thing.
pub fn id(number: u64) -> Uuid {
    Uuid::from_u64_pair(0x0190_0000_0000_7000, 0x8000_0000_0000_0000 | number)
}

/// A call that began now and ended well; `number` tells whose it is.
pub fn entry(number: u64) -> Entry {
    entry_at(Clock::System.now(), number)
}

pub fn entry_at(at: Moment, number: u64) -> Entry {
    let offer = OfferId(id(300 + number % 3));
    Entry {
        request_id: RequestId::new(at),
        organization_id: OrganizationId(id(number % 2)),
        group_id: Some(GroupId(id(10 + number % 4))),
        user_id: (!number.is_multiple_of(5)).then(|| UserId(id(20 + number % 5))),
        api_key_id: ApiKeyId(id(100 + number % 20)),
        client_request_id: number.is_multiple_of(7).then(|| format!("mine-{number}")),
        tags: serde_json::json!({"user": "ann", "metadata": {"team": "search"}}),
        requested_model: "house/fast".to_owned(),
        model_id: Some(ModelId(id(200 + number % 3))),
        offer_id: Some(offer),
        provider_id: Some(ProviderId(id(400 + number % 3))),
        status: 200,
        finish: Finish::Complete,
        is_estimated: false,
        is_stream: number.is_multiple_of(2),
        usage: Usage {
            input: Tokens(1_000 + number % 100),
            cached: Tokens(10),
            cache_write: Tokens(0),
            output: Tokens(200 + number % 50),
            reasoning: Tokens(7),
        },
        held_nano_usd: NanoUsd(1_000_000 + number % 1_500),
        cost_nano_usd: NanoUsd(1_000_000 + number % 1_000),
        saved_nano_usd: NanoUsd(number % 10),
        price_book: "3f2a".to_owned(),
        alternative: None,
        decision: synaxis::usage::Decision::default(),
        first_byte_ms: Some(120),
        duration_ms: 950,
        attempts: vec![AttemptRecord {
            offer_id: offer,
            provider: "alpha".to_owned(),
            outcome: "ok".to_owned(),
            status: Some(200),
            ms: 900,
            cost_nano_usd: NanoUsd::ZERO,
            charged: None,
        }],
    }
}

/// The intent of a call: as if it died now.
pub fn intent(entry: &Entry) -> Intent {
    Intent(Entry {
        finish: Finish::Abandoned,
        is_estimated: true,
        status: 0,
        first_byte_ms: None,
        held_nano_usd: NanoUsd(12_000_000),
        cost_nano_usd: NanoUsd(9_000_000),
        saved_nano_usd: NanoUsd::ZERO,
        attempts: Vec::new(),
        ..entry.clone()
    })
}

/// A spool with short waits.
pub fn settings(folder: &Path) -> Settings {
    Settings {
        spool_dir: folder.to_owned(),
        segment_bytes: 256 * 1024,
        cap_bytes: 64 * 1024 * 1024,
        sync_ms: 5,
        flush_ms: 20,
        batch: 1_000,
        ..Settings::default()
    }
}

pub fn open(settings: &Settings) -> Arc<Spool> {
    Spool::open(settings, &Clock::System).expect("the folder can be written")
}

/// The names of the segments in a folder.
pub fn segments(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|file| {
            file.expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|name| name.ends_with(".seg"))
        .collect();
    names.sort();
    names
}
