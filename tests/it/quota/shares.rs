//! What several organizations have of one provider's key: equal parts while they ask, everything while nobody else does.

use std::collections::HashMap;

use synaxis::{
    base::Moment,
    quota::{Bid, Charge, Decision, Limit, Meter, Window},
};

use super::{Tenant, allowance, call, is_held, wound::Wound};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;

impl Wound {
    async fn ask(&self, tenant: &Tenant, allowance: &Limit, amount: u64) -> Decision {
        let share = allowance.share_of(tenant.organization);
        let limits = [Some(allowance.clone()), share];
        let own = limits.into_iter().flatten();
        let bid = Bid {
            tenant: Vec::new(),
            own: own.map(|limit| Charge { limit, amount }).collect(),
        };
        let decision = tenant.admit(&self.proxy, &[bid], self.now()).await;
        decision.expect("an answer")
    }

    /// Asks, and says whether the call went through; it used what it held.
    async fn takes(&self, tenant: &Tenant, allowance: &Limit) -> bool {
        let decision = self.ask(tenant, allowance, 1).await;
        let is_through = is_held(&decision);
        if let Decision::Held { hold, .. } = decision {
            self.proxy.ledger.settle(hold, call(0, 0, 0));
        }
        is_through
    }
}

/// The noon of a day, so that no midnight comes between.
fn noon() -> Moment {
    Moment::from_millis(1_795_003_200_000 / 86_400_000 * 86_400_000 + 12 * HOUR_MS)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_above_its_part_leaves_the_rest_to_those_who_ask() {
    let wound = Wound::new(noon());
    let [first, second] = [(); 2].map(|()| Tenant::new(&[]));
    let day = allowance(Meter::Requests, Window::Day, 12);

    for _ in 0..8 {
        assert!(wound.takes(&first, &day).await, "nobody else asks");
    }
    assert!(wound.takes(&second, &day).await);

    let refused = wound.ask(&first, &day, 1).await;
    assert!(matches!(refused, Decision::Full { .. }), "{refused:?}");
    for _ in 0..3 {
        assert!(wound.takes(&second, &day).await);
    }
    assert!(!wound.takes(&second, &day).await, "the day is spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_nobody_asks_for_is_everybodys_and_comes_back() {
    let wound = Wound::new(noon());
    let [first, second] = [(); 2].map(|()| Tenant::new(&[]));
    let day = allowance(Meter::Requests, Window::Day, 10);
    assert!(wound.takes(&second, &day).await);
    for _ in 0..5 {
        assert!(wound.takes(&first, &day).await);
    }
    assert!(!wound.takes(&first, &day).await, "the other asked just now");

    wound.wind(HOUR_MS + MINUTE_MS);

    assert!(wound.takes(&first, &day).await, "the other is silent");
    assert!(wound.takes(&second, &day).await);
    assert!(!wound.takes(&first, &day).await, "the other is back");
    wound.wind(12 * HOUR_MS);
    for _ in 0..5 {
        assert!(wound.takes(&second, &day).await, "a new day");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_what_was_used_not_what_was_held() {
    let wound = Wound::new(noon());
    let [first, second] = [(); 2].map(|()| Tenant::new(&[]));
    let day = allowance(Meter::TotalTokens, Window::Day, 1_000);
    assert!(is_held(&wound.ask(&second, &day, 10).await));

    for _ in 0..8 {
        let decision = wound.ask(&first, &day, 400).await;
        let Decision::Held { hold, .. } = decision else {
            panic!("not held: {decision:?}");
        };
        wound.proxy.ledger.settle(hold, call(5, 5, 0));
        crate::stack::within(std::time::Duration::from_secs(5), async || {
            wound.proxy.ledger.open_holds() <= 1
        })
        .await;
        // Redis hears of it a moment after the desk has let go.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_above_its_part_while_others_wait_however_they_come() {
    let wound = Wound::new(noon());
    let tenants = [(); 3].map(|()| Tenant::new(&[]));
    let day = allowance(Meter::Requests, Window::Day, 90);
    let mut taken = [0_u32; 3];
    let mut waits: HashMap<usize, bool> = HashMap::new();

    // The first comes ten times as often as the second, the third begins late.
    for step in 0..400_usize {
        let whose = match step % 11 {
            0 => 1,
            5 if 200 < step => 2,
            _ => 0,
        };
        let part = 90 / if 200 < step { 3 } else { 2 };
        let others_wait = waits.iter().any(|(other, waits)| *other != whose && *waits);
        let is_through = wound.takes(&tenants[whose], &day).await;
        if is_through {
            assert!(
                taken[whose] < part || !others_wait,
                "{whose} took {taken:?} at {step}"
            );
            taken[whose] += 1;
        }
        waits.insert(whose, !is_through && taken[whose] < part);
        wound.wind(MINUTE_MS / 2);
    }

    #[expect(clippy::print_stdout, reason = "a figure of the test")]
    {
        println!("of 90 a day: {taken:?}");
    }
    assert_eq!(taken.iter().sum::<u32>(), 90, "nothing is left lying");
    assert!(waits.values().all(|waits| !waits) || taken.iter().all(|one| *one <= 45));
}
