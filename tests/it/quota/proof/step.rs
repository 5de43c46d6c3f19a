//! What happens in a history, as it is thrown: sizes aim at what is left, moments at the edges of windows.

use proptest::{prelude::*, sample::Index};

/// One history, not played yet.
#[derive(Clone, Debug)]
pub struct Tale {
    pub setting: Setting,
    pub steps: Vec<Step>,
}

/// Under which limits, and when.
#[derive(Clone, Debug)]
pub struct Setting {
    /// One bit per limit of the menu.
    pub limits: u8,
    /// One bit per allowance of the first candidate's.
    pub allowances: u8,
    /// Where the history begins, among days at whose edges clocks are changed.
    pub day: Index,
    pub minutes: i64,
    /// What the books know already.
    pub books: i64,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Time passes.
    Pass(Span),
    /// The clock is put forward or back, and no time passes.
    Jump(i64),
    Ask(Ask),
    /// A call is denied, waits as long as it was told and comes again.
    AskAndWait(Ask),
    /// A call's admission is sent once more, open or ended.
    Again(Index),
    /// A call is cancelled before its admission arrives.
    Late(Ask),
    /// A call's attempt failed after it used so many percent; it goes on at the other candidate.
    Move(Index, i64, i64),
    End(Index, End),
    /// A call that has ended ends once more, otherwise.
    EndAgain(Index, End),
    /// All leases are renewed.
    Renew,
    /// The books learn of everything that has ended.
    Book,
    /// Redis forgets everything; so many of the holds are asserted twice.
    Lose(bool),
    /// Redis comes back as another process, with what it had written down.
    Restart,
    /// A limit becomes another amount, in percent.
    Change(Index, i64),
    /// A limit is made that nobody has asked for yet.
    Unseeded(Index),
    /// Somebody still goes by another epoch.
    Stale(Ask),
    /// Counters that are known are seeded once more, with less.
    SeedAgain,
    Peek,
}

/// How long, or until where.
#[derive(Clone, Debug)]
pub enum Span {
    Millis(i64),
    /// Until so many milliseconds before or after the end of the window or slot of some limit.
    Edge(Index, i64),
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub size: Size,
    /// Both candidates, or the first alone.
    pub has_two: bool,
    /// How far the proxy's clock is off, in milliseconds.
    pub skew: i64,
}

#[derive(Clone, Debug)]
pub enum Size {
    /// Tokens read, tokens written, money.
    Of(i64, i64, i64),
    /// What is left of one limit, and so much more.
    Left(Index, i64),
}

#[derive(Clone, Debug)]
pub enum End {
    /// With so many percent of what it held.
    Share(i64),
    AsHeld,
    Cancelled,
}

pub fn tales() -> impl Strategy<Value = Tale> {
    let steps = prop::collection::vec(step(), 8..40);
    (setting(), steps).prop_map(|(setting, steps)| Tale { setting, steps })
}

fn setting() -> impl Strategy<Value = Setting> {
    let books = prop_oneof![3 => Just(0_i64), 1 => 0..400_i64];
    let parts = (
        any::<u8>(),
        any::<u8>(),
        any::<Index>(),
        0..1_500_i64,
        books,
    );
    parts.prop_map(|(limits, allowances, day, minutes, books)| Setting {
        limits,
        allowances,
        day,
        minutes,
        books,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let jump = prop::sample::select(vec![
        -1,
        -2_499,
        -2_500,
        -5_001,
        -60_000,
        -3_600_000,
        -86_400_000,
        1,
        2_501,
        61_000,
        3_600_000,
        86_400_000,
    ]);
    prop_oneof![
        6 => span().prop_map(Step::Pass),
        1 => jump.prop_map(Step::Jump),
        14 => ask().prop_map(Step::Ask),
        2 => ask().prop_map(Step::AskAndWait),
        2 => any::<Index>().prop_map(Step::Again),
        1 => ask().prop_map(Step::Late),
        3 => (any::<Index>(), share(), 1..300_i64).prop_map(|(which, failed, size)| Step::Move(which, failed, size)),
        8 => (any::<Index>(), end()).prop_map(|(which, end)| Step::End(which, end)),
        2 => (any::<Index>(), end()).prop_map(|(which, end)| Step::EndAgain(which, end)),
        2 => Just(Step::Renew),
        2 => Just(Step::Book),
        1 => any::<bool>().prop_map(Step::Lose),
        1 => Just(Step::Restart),
        1 => (any::<Index>(), prop::sample::select(vec![0, 50, 99, 101, 300]))
            .prop_map(|(which, share)| Step::Change(which, share)),
        1 => any::<Index>().prop_map(Step::Unseeded),
        1 => ask().prop_map(Step::Stale),
        1 => Just(Step::SeedAgain),
        2 => Just(Step::Peek),
    ]
}

fn span() -> impl Strategy<Value = Span> {
    let edge = (any::<Index>(), -1..2_i64);
    let millis = prop::sample::select(vec![
        0,
        1,
        2_499,
        2_500,
        2_501,
        57_500,
        59_999,
        60_000,
        62_500,
        62_501,
        3_600_000,
        61_199_999,
        86_400_000,
        2_678_400_000,
    ]);
    prop_oneof![
        4 => edge.prop_map(|(which, by)| Span::Edge(which, by)),
        3 => (0..3_000_i64).prop_map(Span::Millis),
        3 => millis.prop_map(Span::Millis),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let size = prop_oneof![
        3 => (1..300_i64, 0..120_i64, 0..500_i64)
            .prop_map(|(input, output, cost)| Size::Of(input, output, cost)),
        4 => (any::<Index>(), 0..2_i64).prop_map(|(limit, more)| Size::Left(limit, more)),
        1 => (any::<Index>(), Just(100_000)).prop_map(|(limit, more)| Size::Left(limit, more)),
    ];
    let skew = prop_oneof![
        9 => Just(0_i64),
        1 => prop::sample::select(vec![-600_000, 600_000, -90_000_000, 90_000_000]),
    ];
    (size, any::<bool>(), skew).prop_map(|(size, has_two, skew)| Ask {
        size,
        has_two,
        skew,
    })
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        6 => share().prop_map(End::Share),
        1 => Just(End::AsHeld),
        2 => Just(End::Cancelled),
    ]
}

fn share() -> impl Strategy<Value = i64> {
    prop::sample::select(vec![0, 1, 60, 60, 100, 130])
}
