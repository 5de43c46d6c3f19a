//! How a report is asked for.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    admin::{error::ApiError, list::Format},
    base::{ApiKeyId, GroupId, ModelId, Moment, OfferId, OrganizationId, ProviderId, UserId},
    catalog::Tier,
    usage::report::{
        Cut, Dimension, Filters, Interval, NotAnswered, Period, Place, Question, Whose,
    },
};

/// How many rows a page has when nobody says.
const USUAL: u32 = 100;
/// The most rows a page may have.
const MOST: u32 = 1_000;
/// The most rows a file may have.
const MOST_IN_FILE: u32 = 50_000;

/// The period of a report when nobody says.
const USUAL_PERIOD: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The same in steps of an hour.
const USUAL_PERIOD_BY_HOUR: Duration = Duration::from_secs(24 * 60 * 60);

/// What every report is asked with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    by: Dimension,
    interval: Interval,
    zone: Tz,
    from: Option<Moment>,
    to: Option<Moment>,
    pub(super) cut: Cut,
    pub(super) is_csv: bool,
}

/// The parameters as they came.
struct Parts<'a> {
    group_by: Option<Dimension>,
    interval: Option<Interval>,
    zone: Option<&'a str>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    limit: Option<u32>,
    cursor: Option<&'a str>,
    format: Option<Format>,
}

impl Parts<'_> {
    fn read(self, headers: &HeaderMap) -> Result<Asked, ApiError> {
        let zone = self.zone.unwrap_or("UTC").parse::<Tz>();
        let zone = zone.map_err(|_| {
            ApiError::invalid("zone", "give a zone by its name, such as Europe/Berlin")
        })?;
        let limit = self.limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            return Err(ApiError::invalid("limit", format!("give 1 to {MOST}")));
        }
        let is_csv = match self.format {
            Some(format) => format == Format::Csv,
            None => wants_csv(headers),
        };
        let cut = if is_csv {
            Cut {
                place: Place::default(),
                take: MOST_IN_FILE,
                may_be_short: false,
            }
        } else {
            Cut {
                place: self.cursor.map_or(Ok(Place::default()), read_cursor)?,
                take: limit,
                may_be_short: true,
            }
        };
        Ok(Asked {
            by: self.group_by.unwrap_or_default(),
            interval: self.interval.unwrap_or_default(),
            zone,
            from: self.from.map(Moment::from),
            to: self.to.map(Moment::from),
            cut,
            is_csv,
        })
    }
}

/// Says whether a caller would rather have a file.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let mut kinds = accept
        .split(',')
        .map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.any(|kind| kind.eq_ignore_ascii_case("text/csv"))
}

/// What a cursor without a moment says instead.
const NO_MOMENT: i64 = i64::MIN;

/// Writes a place as text that is opaque to callers: the moment's milliseconds, then the rows to leave out.
pub(super) fn cursor(place: Place) -> String {
    let millis = place.at.map_or(NO_MOMENT, |at| at.millis());
    let bytes = [&millis.to_be_bytes()[..], &place.skip.to_be_bytes()].concat();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str) -> Result<Place, ApiError> {
    let not_ours = || ApiError::invalid("cursor", "not a cursor of this list");
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| not_ours())?;
    let bytes: [u8; 12] = bytes.try_into().map_err(|_| not_ours())?;
    let (millis, skip) = bytes.split_first_chunk::<8>().ok_or_else(not_ours)?;
    let skip: [u8; 4] = skip.try_into().map_err(|_| not_ours())?;
    let millis = i64::from_be_bytes(*millis);
    let at = (millis != NO_MOMENT).then(|| Moment::from_millis(millis));
    // What no calendar holds would be read as 1970.
    if at.is_some_and(|at| Moment::from(at.utc()) != at) {
        return Err(not_ours());
    }
    Ok(Place {
        at,
        skip: u32::from_be_bytes(skip),
    })
}

impl Asked {
    /// Makes the question, when the roll-ups can answer it.
    pub(super) fn question(
        &self,
        whose: Whose,
        filters: Filters,
        now: Moment,
    ) -> Result<Question, ApiError> {
        let question = Question {
            whose,
            by: self.by,
            interval: self.interval,
            zone: self.zone,
            period: self.period(now),
            filters,
        };
        question.check().map_err(|error| {
            let field = match error {
                NotAnswered::Backwards => "to",
                NotAnswered::TooLong(..) => "from",
                NotAnswered::TooWide => "organization_id",
            };
            ApiError::invalid(field, error.to_string())
        })?;
        Ok(question)
    }

    fn period(&self, now: Moment) -> Period {
        let usual = match self.interval {
            Interval::Hour => USUAL_PERIOD_BY_HOUR,
            Interval::None | Interval::Day | Interval::Month => USUAL_PERIOD,
        };
        let to = self.to.unwrap_or(now);
        let from = self.from.unwrap_or_else(|| to.minus(usual));
        Period::around(from, to)
    }
}

macro_rules! usage_query {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// By what the report is divided; not at all when absent.
            #[param(inline)]
            pub group_by: Option<Dimension>,
            /// Into which steps of time; into none when absent.
            #[param(inline)]
            pub interval: Option<Interval>,
            /// The first moment; 30 days before `to` when absent, a day with `interval=hour`.
            pub from: Option<DateTime<Utc>>,
            /// The moment behind the last one; now when absent.
            pub to: Option<DateTime<Utc>>,
            /// Whose calendar counts, such as `Europe/Berlin`; UTC when absent. An hour belongs to the day in which it
            /// begins.
            pub zone: Option<String>,
            /// How many rows at most; 100 when absent.
            #[param(minimum = 1, maximum = 1000)]
            pub limit: Option<u32>,
            /// The `next_cursor` of the page before.
            pub cursor: Option<String>,
            /// `csv` for a file with all rows, whatever `limit` says.
            #[param(inline)]
            pub format: Option<Format>,
        }

        impl $name {
            pub(super) fn asked(&self, headers: &HeaderMap) -> Result<Asked, ApiError> {
                let parts = Parts {
                    group_by: self.group_by,
                    interval: self.interval,
                    zone: self.zone.as_deref(),
                    from: self.from,
                    to: self.to,
                    limit: self.limit,
                    cursor: self.cursor.as_deref(),
                    format: self.format,
                };
                parts.read(headers)
            }
        }
    };
}

usage_query! {
    /// What an organization's usage is asked with.
    UsageQuery {
        /// Only calls of this group.
        group_id: Option<GroupId>,
        /// Only calls of this person.
        user_id: Option<UserId>,
        /// Only calls with this key.
        api_key_id: Option<ApiKeyId>,
        /// Only calls to this model.
        model_id: Option<ModelId>,
        /// Only calls to this provider.
        provider_id: Option<ProviderId>,
        /// Only calls to this offer.
        offer_id: Option<OfferId>,
        /// Only calls to free, or to paid offers.
        #[param(inline)]
        tier: Option<Tier>,
    }
}

usage_query! {
    /// What a key's usage is asked with.
    KeyUsageQuery {}
}

usage_query! {
    /// What one's own usage is asked with.
    MyUsageQuery {
        /// In which organization.
        organization_id: OrganizationId,
    }
}

usage_query! {
    /// What everybody's usage is asked with.
    PlatformUsageQuery {
        /// Only calls of this organization.
        organization_id: Option<OrganizationId>,
        /// Only calls of this group.
        group_id: Option<GroupId>,
        /// Only calls of this person.
        user_id: Option<UserId>,
        /// Only calls with this key.
        api_key_id: Option<ApiKeyId>,
        /// Only calls to this model.
        model_id: Option<ModelId>,
        /// Only calls to this provider.
        provider_id: Option<ProviderId>,
        /// Only calls to this offer.
        offer_id: Option<OfferId>,
        /// Only calls to free, or to paid offers.
        #[param(inline)]
        tier: Option<Tier>,
    }
}

macro_rules! filters {
    ($name:ident) => {
        impl $name {
            pub(super) fn filters(&self) -> Filters {
                Filters {
                    group: self.group_id,
                    user: self.user_id,
                    key: self.api_key_id,
                    model: self.model_id,
                    provider: self.provider_id,
                    offer: self.offer_id,
                    tier: self.tier,
                }
            }
        }
    };
}

filters!(UsageQuery);
filters!(PlatformUsageQuery);

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, text.parse().unwrap());
        wants_csv(&headers)
    }

    #[test]
    fn a_file_is_wanted_by_whoever_accepts_one() {
        assert!(accepts("text/csv"));
        assert!(accepts("application/json;q=0.5, Text/CSV; charset=utf-8"));
        assert!(!accepts("application/json, */*"));
        assert!(!wants_csv(&HeaderMap::new()));
    }

    #[test]
    fn a_cursor_leads_to_its_place_and_another_lists_to_none() {
        for at in [None, Some(Moment::from_millis(1_795_046_400_000))] {
            let place = Place { at, skip: 150 };

            assert_eq!(read_cursor(&cursor(place)), Ok(place));
        }
        let beyond = cursor(Place {
            at: Some(Moment::from_millis(i64::MAX)),
            skip: 0,
        });
        for text in ["", "AAAA", "_____w", "?", &beyond] {
            assert!(read_cursor(text).is_err(), "{text}");
        }
    }
}
