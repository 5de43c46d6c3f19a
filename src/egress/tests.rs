//! Where we go, and where nobody can make us go.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use super::*;
use crate::base::Moment;

fn guard(allow: &[&str]) -> Guard {
    let settings = Settings {
        allow: allow.iter().map(|net| net.parse().unwrap()).collect(),
        ..Settings::default()
    };
    Guard::new(settings, Clock::System)
}

/// A guard whose resolver answers what `answer` says at that moment, and counts how often it was asked.
fn guard_with(
    settings: Settings,
    clock: &Clock,
    answer: &Arc<Mutex<Option<Vec<&'static str>>>>,
) -> (Guard, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&asked), Arc::clone(answer));
    let ask: Box<names::Ask> = Box::new(move |_, port| {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = answer.lock().unwrap().clone();
        Box::pin(async move {
            let ips = answer.ok_or_else(|| std::io::Error::other("no answer"))?;
            Ok(ips
                .iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), port))
                .collect())
        })
    });
    let names = Names::new(&settings, clock.clone(), ask);
    (Guard { settings, names }, asked)
}

fn hand() -> Clock {
    Clock::by_hand(Moment::from_millis(1_795_000_000_000))
}

#[test]
fn no_address_of_the_deny_list_is_public() {
    let refused = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    ];
    for ip in refused {
        assert_eq!(
            guard(&[]).judge(ip.parse().unwrap()),
            Err(Forbidden::Address),
            "{ip}"
        );
    }
}

#[test]
fn neighbours_of_the_deny_list_are_public() {
    let fine = [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2600::1",
        "2001:200::1",
        "2606:4700:4700::1111",
        "2003::1",
        "::ffff:1.1.1.1",
    ];
    for ip in fine {
        assert_eq!(guard(&[]).judge(ip.parse().unwrap()), Ok(()), "{ip}");
    }
}

#[test]
fn an_allowed_network_may_be_reached_in_every_spelling() {
    let guard = guard(&["127.0.0.0/8", "fd00::/8"]);

    for ip in ["127.0.0.1", "::ffff:127.0.0.1", "fd00::1"] {
        assert_eq!(guard.judge(ip.parse().unwrap()), Ok(()), "{ip}");
    }
    for ip in ["10.0.0.1", "::1", "fc00::1"] {
        assert_eq!(
            guard.judge(ip.parse().unwrap()),
            Err(Forbidden::Address),
            "{ip}"
        );
    }
}

fn judged(guard: &Guard, text: &str) -> Result<(), Forbidden> {
    guard.judge_url(&text.parse().unwrap())
}

#[test]
fn a_url_is_judged_before_anything_is_resolved() {
    let plain = guard(&[]);

    for text in ["https://api.example.com/v1", "https://api.example.com:443"] {
        assert_eq!(judged(&plain, text), Ok(()), "{text}");
    }
    for (text, expected) in [
        ("https://api.example.com:8443/v1", Forbidden::Port),
        ("http://api.example.com/v1", Forbidden::Scheme),
        ("ftp://api.example.com/v1", Forbidden::Scheme),
        ("file:///etc/passwd", Forbidden::Scheme),
        ("https://user@api.example.com", Forbidden::Userinfo),
        ("https://:pw@api.example.com", Forbidden::Userinfo),
        ("https://1.1.1.1/v1", Forbidden::Host),
        ("https://[2606:4700:4700::1111]/", Forbidden::Host),
    ] {
        assert_eq!(judged(&plain, text), Err(expected), "{text}");
    }
}

#[test]
fn a_private_address_is_seen_through_every_spelling_of_a_url() {
    let (plain, local) = (guard(&[]), guard(&["127.0.0.0/8"]));

    for text in [
        "http://127.0.0.1:9001/v1",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://[::ffff:7f00:1]/",
    ] {
        assert_eq!(judged(&plain, text), Err(Forbidden::Address), "{text}");
        assert_eq!(judged(&local, text), Ok(()), "{text}");
    }
    for text in ["http://169.254.169.254/latest", "http://0.0.0.0:80/"] {
        assert_eq!(judged(&local, text), Err(Forbidden::Address), "{text}");
    }
    assert_eq!(judged(&local, "ftp://127.0.0.1/"), Err(Forbidden::Scheme));
}

#[tokio::test]
async fn one_private_address_among_public_ones_is_enough_to_refuse() {
    let answer = Arc::new(Mutex::new(Some(vec!["1.1.1.1", "127.0.0.1"])));
    let (guard, _) = guard_with(Settings::default(), &hand(), &answer);

    let refused = guard.resolve("rebound.example", 443).await;

    assert_eq!(refused, Err(NoAddress::Forbidden(Forbidden::Address)));
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_from_then_on() {
    let clock = hand();
    let answer = Arc::new(Mutex::new(Some(vec!["1.1.1.1"])));
    let (guard, asked) = guard_with(Settings::default(), &clock, &answer);
    assert!(guard.resolve("rebound.example", 443).await.is_ok());

    *answer.lock().unwrap() = Some(vec!["169.254.169.254"]);
    let kept = guard.resolve("rebound.example", 443).await.unwrap();
    clock.wind(Duration::from_secs(31));
    let refused = guard.resolve("Rebound.Example.", 443).await;

    assert_eq!(kept.as_ref(), ["1.1.1.1:443".parse().unwrap()]);
    assert_eq!(refused, Err(NoAddress::Forbidden(Forbidden::Address)));
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_old_answer_serves_while_the_resolver_fails_but_not_for_ever() {
    let clock = hand();
    let answer = Arc::new(Mutex::new(Some(vec!["1.1.1.1"])));
    let (guard, asked) = guard_with(Settings::default(), &clock, &answer);
    assert!(guard.resolve("shop.example", 443).await.is_ok());

    *answer.lock().unwrap() = None;
    clock.wind(Duration::from_secs(300));
    for _ in 0..100 {
        assert!(guard.resolve("shop.example", 443).await.is_ok());
    }
    clock.wind(Duration::from_secs(301));

    assert_eq!(
        guard.resolve("shop.example", 443).await,
        Err(NoAddress::Unresolvable)
    );
    assert_eq!(
        asked.load(Ordering::Relaxed),
        3,
        "a failing resolver is asked once a second"
    );
}

#[tokio::test]
async fn many_callers_ask_the_resolver_once() {
    let answer = Arc::new(Mutex::new(Some(vec!["1.1.1.1"])));
    let (guard, asked) = guard_with(Settings::default(), &hand(), &answer);

    let calls = (0..50).map(|_| guard.resolve("shop.example", 443));
    let answers = futures::future::join_all(calls).await;

    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn plain_http_and_odd_ports_are_for_allowed_networks_only() {
    let answer = Arc::new(Mutex::new(Some(vec!["1.1.1.1"])));
    let settings = Settings {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..Settings::default()
    };
    let (guard, _) = guard_with(settings, &hand(), &answer);
    let at = |text: &str| text.parse::<Url>().unwrap();

    let public = guard.resolve_url(&at("http://shop.example:443/v1")).await;
    let odd = guard.resolve_url(&at("https://shop.example:9001/v1")).await;
    let bare = guard.resolve_url(&at("http://127.0.0.1:9001/v1")).await;
    *answer.lock().unwrap() = Some(vec!["127.0.0.2"]);
    let local = guard.resolve_url(&at("http://local.example:9001/v1")).await;

    assert_eq!(public, Err(NoAddress::Forbidden(Forbidden::Scheme)));
    assert_eq!(odd, Err(NoAddress::Forbidden(Forbidden::Port)));
    assert_eq!(bare.unwrap().as_ref(), ["127.0.0.1:9001".parse().unwrap()]);
    assert_eq!(local.unwrap().as_ref(), ["127.0.0.2:9001".parse().unwrap()]);
}
