//! How far a page of a report looks: from step to step until it is full, so that it need not add up the whole period.

use super::{
    Cut, Dimension, Interval, Place, Question, Row,
    question::{hour_from, hour_with},
};
use crate::base::Moment;

/// How many rows of the roll-ups a page adds up that may be short; it ends with the step that gets there.
const MOST_READ: u64 = 10_000;
/// How many rows of whole calls are looked through for one of a tier: two in three may be of the other.
const LOOKED_THROUGH: u64 = 3;
/// How many times as many steps as before are looked at next, at most: the first ones may be emptier than the others.
const GROWTH: u64 = 4;
/// More steps than any period has.
const ALL: u64 = 10_000;

/// The next steps to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The whole hour with which they begin.
    pub from: Moment,
    /// How many.
    pub steps: i32,
    /// How many rows of them to leave out.
    pub skip: u32,
    /// How many rows of them are wanted at most.
    pub take: u32,
}

/// A page on its way.
#[derive(Debug)]
pub(super) struct Walk {
    /// How many steps are looked at first.
    first: u64,
    cut: Cut,
    begin: Moment,
    at: Moment,
    end: Moment,
    has_steps: bool,
    steps: u64,
    rows: u64,
    read: u64,
    weight: u64,
}

/// What a stretch came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The moment up to which it was looked at.
    pub reached: Moment,
    /// How many rows it has.
    pub rows: usize,
    /// How many rows of the roll-ups were added up for them.
    pub read: u64,
}

impl Walk {
    pub(super) fn of(question: &Question, cut: Cut) -> Self {
        let period = question.period;
        let has_steps = question.interval != Interval::None;
        let place = cut.place.at.filter(|_| has_steps);
        let begin = place.map_or(period.from, hour_with).max(period.from);
        Self {
            first: first(question),
            cut,
            begin,
            at: begin,
            end: period.to,
            has_steps,
            steps: 0,
            rows: 0,
            read: 0,
            weight: match question.filters.tier {
                Some(_) if !question.is_total() => LOOKED_THROUGH,
                _ => 1,
            },
        }
    }

    /// Returns where to look next; `None` when the page is full or there is nothing more.
    pub(super) fn next(&self) -> Option<Stretch> {
        let wanted = u64::from(self.cut.take) + 1;
        let is_tired = self.cut.may_be_short && MOST_READ <= self.read;
        if wanted <= self.rows || is_tired || self.end <= self.at {
            return None;
        }
        let left = wanted - self.rows;
        let steps = self.steps_for(left).clamp(1, ALL);
        Some(Stretch {
            from: self.at,
            steps: i32::try_from(steps).unwrap_or(i32::MAX),
            skip: if self.steps == 0 {
                self.cut.place.skip
            } else {
                0
            },
            take: u32::try_from(left).unwrap_or(u32::MAX),
        })
    }

    /// Guesses from the steps before how many have `left` rows, and do not read too much.
    fn steps_for(&self, left: u64) -> u64 {
        if self.steps == 0 {
            return self.first;
        }
        let enough = (left * self.steps).div_ceil(self.rows.max(1));
        let bearable = if self.cut.may_be_short {
            MOST_READ.saturating_sub(self.read) * self.steps / self.read.max(1)
        } else {
            ALL
        };
        enough.min(bearable).min(GROWTH * self.steps)
    }

    /// Notes what `stretch` came to.
    pub(super) fn saw(&mut self, stretch: Stretch, seen: Seen) {
        self.at = seen.reached;
        self.steps += u64::try_from(stretch.steps).unwrap_or_default();
        self.rows += u64::try_from(seen.rows).unwrap_or_default();
        self.read += seen.read * self.weight;
    }

    /// Says whether `stretch` was the whole period, so that its total is the report's.
    pub(super) fn is_whole(&self, stretch: Stretch, question: &Question) -> bool {
        stretch.from == question.period.from && self.end <= self.at
    }

    /// Cuts the rows to the page, and returns where the next one begins.
    pub(super) fn cut(&self, rows: &mut Vec<Row>) -> Option<Place> {
        let take = usize::try_from(self.cut.take).unwrap_or(usize::MAX);
        let is_full = take < rows.len();
        rows.truncate(take);
        if !is_full {
            let at = Some(self.at);
            return (self.at < self.end).then_some(Place { at, skip: 0 });
        }
        if !self.has_steps {
            let skip = self.cut.place.skip.saturating_add(self.cut.take);
            return Some(Place { at: None, skip });
        }
        let last = rows.last()?.at?;
        let shown = rows
            .iter()
            .rev()
            .take_while(|row| row.at == Some(last))
            .count();
        let shown = u32::try_from(shown).unwrap_or(u32::MAX);
        // The first step may have begun before the page.
        let at = hour_from(last).max(self.begin);
        let before = if at == self.begin {
            self.cut.place.skip
        } else {
            0
        };
        let skip = shown.saturating_add(before);
        Some(Place { at: Some(at), skip })
    }
}

/// Guesses how many steps have some dozens of rows: the fewer values there are to divide by, the more.
fn first(question: &Question) -> u64 {
    match question.by {
        _ if question.interval == Interval::None => ALL,
        Dimension::None if question.is_total() => ALL,
        _ if !question.is_total() => 1,
        Dimension::Tier => 16,
        Dimension::Provider | Dimension::Group => 4,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono_tz::Tz;
    use uuid::Uuid;

    use super::*;
    use crate::{
        base::OrganizationId,
        usage::report::{Amounts, Filters, Period, Whose},
    };

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn question(by: Dimension, interval: Interval) -> Question {
        let day = Moment::from_millis(1_795_046_400_000);
        Question {
            whose: Whose::Organization(OrganizationId(Uuid::nil())),
            by,
            interval,
            zone: Tz::UTC,
            period: Period::until(day, DAY * 90),
            filters: Filters::default(),
        }
    }

    fn cut(take: u32) -> Cut {
        Cut {
            place: Place::default(),
            take,
            may_be_short: true,
        }
    }

    /// Walks until the page is full, each step having `rows` rows made of `read` ones; returns the stretches' lengths.
    fn lengths(walk: &mut Walk, rows: usize, read: u64) -> Vec<i32> {
        let mut lengths = Vec::new();
        while let Some(stretch) = walk.next() {
            let left = walk.end.since(stretch.from).as_secs() / DAY.as_secs();
            let steps = u32::try_from(left)
                .unwrap()
                .min(u32::try_from(stretch.steps).unwrap());
            let found = (usize::try_from(steps).unwrap() * rows)
                .min(usize::try_from(stretch.take).unwrap());
            let seen = Seen {
                reached: stretch.from.plus(DAY * steps),
                rows: found,
                read: read * u64::from(steps),
            };
            walk.saw(stretch, seen);
            lengths.push(stretch.steps);
        }
        lengths
    }

    #[test]
    fn a_page_looks_no_further_than_it_must() {
        let of_keys = question(Dimension::Key, Interval::Day);
        let mut walk = Walk::of(&of_keys, cut(100));

        assert_eq!(lengths(&mut walk, 800, 800), [1]);
        assert_eq!(lengths(&mut Walk::of(&of_keys, cut(100)), 40, 40), [1, 2]);
        assert_eq!(
            lengths(&mut Walk::of(&of_keys, cut(100)), 2, 2),
            [1, 4, 20, 26]
        );
        assert_eq!(
            lengths(&mut Walk::of(&of_keys, cut(100)), 0, 0),
            [1, 4, 20, 100]
        );
    }

    #[test]
    fn a_page_that_read_much_is_short() {
        let of_keys = question(Dimension::Key, Interval::Day);
        let mut page = Walk::of(&of_keys, cut(100));
        let mut file = Walk::of(
            &of_keys,
            Cut {
                may_be_short: false,
                ..cut(100)
            },
        );

        assert_eq!(lengths(&mut page, 1, 4_000), [1, 1, 1]);
        assert_eq!(lengths(&mut file, 1, 4_000), [1, 4, 20, 76]);
        assert_eq!(
            page.cut(&mut Vec::new()),
            Some(Place {
                at: Some(page.at),
                skip: 0
            })
        );
        assert_eq!(file.cut(&mut Vec::new()), None);
    }

    #[test]
    fn what_one_total_answers_is_asked_at_once() {
        for question in [
            question(Dimension::None, Interval::Day),
            question(Dimension::Key, Interval::None),
        ] {
            let mut walk = Walk::of(&question, cut(100));
            let stretch = walk.next().unwrap();

            walk.saw(
                stretch,
                Seen {
                    reached: question.period.to,
                    rows: 90,
                    read: 90,
                },
            );

            assert!(walk.is_whole(stretch, &question));
            assert_eq!(walk.next(), None);
        }
    }

    #[test]
    fn the_next_page_begins_behind_the_last_row_of_its_step() {
        let of_keys = question(Dimension::Key, Interval::Day);
        let from = of_keys.period.from;
        let row = |days: u32| Row {
            at: Some(from.plus(DAY * days)),
            value: None,
            name: None,
            amounts: Amounts::default(),
        };
        let mut walk = Walk::of(&of_keys, cut(3));
        let stretch = walk.next().unwrap();
        walk.saw(
            stretch,
            Seen {
                reached: from.plus(DAY * 2),
                rows: 4,
                read: 4,
            },
        );

        let within = walk.cut(&mut vec![row(0), row(1), row(1), row(1)]).unwrap();
        assert_eq!((within.at, within.skip), (Some(from.plus(DAY)), 2));

        let place = Place {
            at: Some(from),
            skip: 7,
        };
        let later = Walk::of(&of_keys, Cut { place, ..cut(3) });
        assert_eq!(later.next().unwrap().skip, 7);
        let same_step = later
            .cut(&mut vec![row(0), row(0), row(0), row(0)])
            .unwrap();
        assert_eq!((same_step.at, same_step.skip), (Some(from), 10));
    }
}
