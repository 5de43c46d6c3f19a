//! Mail over SMTP, to a server that listens and remembers.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::Method;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use super::people::{PASSWORD, code_in, tell, try_login};
use crate::{
    stack::{admin::TestAdmin, eventually},
    tenancy::crew::Crew,
};

/// A mail server that takes everything after a number of refusals, and its time.
#[derive(Clone, Default)]
struct MailServer {
    letters: Arc<Mutex<Vec<String>>>,
    refusals: Arc<Mutex<usize>>,
    pause_ms: Arc<AtomicU64>,
}

impl MailServer {
    async fn start(refusals: usize) -> (Self, String) {
        let server = Self::default();
        *server.refusals.lock().await = refusals;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let taken = server.clone();
        synaxis::base::tasks::Tasks::default().spawn("mail server", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = taken.clone();
                let serving = async move { server.serve(stream).await };
                synaxis::base::tasks::Tasks::default().spawn("mail", serving);
            }
        });
        (server, address)
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mail.example ESMTP\r\n").await.ok()?;
        let mut letter = String::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let word = line
                .split([' ', ':', '\r'])
                .next()
                .unwrap_or_default()
                .to_uppercase();
            let reply = match word.as_str() {
                "EHLO" | "HELO" => "250-mail.example\r\n250 8BITMIME\r\n",
                "MAIL" if self.refuses().await => "451 later\r\n",
                "DATA" => "354 go on\r\n",
                "QUIT" => "221 bye\r\n",
                _ => "250 ok\r\n",
            };
            stream.write_all(reply.as_bytes()).await.ok()?;
            if word == "DATA" {
                letter.clear();
                read_data(&mut stream, &mut letter).await?;
                let pause = self.pause_ms.load(Ordering::Acquire);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                self.letters.lock().await.push(letter.clone());
                stream.write_all(b"250 taken\r\n").await.ok()?;
            }
        }
    }

    async fn refuses(&self) -> bool {
        let mut left = self.refusals.lock().await;
        let refuses = 0 < *left;
        *left = left.saturating_sub(1);
        refuses
    }
}

async fn read_data(stream: &mut BufReader<TcpStream>, letter: &mut String) -> Option<()> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == ".\r\n" {
            return Some(());
        }
        letter.push_str(&line);
    }
}

/// How a sidecar is told to send by SMTP.
fn by_smtp(url: &str) -> [(&'static str, &str); 3] {
    [
        ("MAIL__TRANSPORT", "smtp"),
        ("MAIL__SMTP_URL", url),
        ("MAIL__FROM", "Synaxis <noreply@example.com>"),
    ]
}

/// Keeps every letter that is posted from now on from being due, until [`release`].
async fn hold(admin: &TestAdmin) {
    let mut books = admin.database.connect().await;
    sqlx::raw_sql(
        "create function identity.hold() returns trigger language plpgsql as
         $$ begin new.due_at := now() + interval '1 hour'; return new; end $$;
         create trigger hold before insert on identity.letters for each row execute function identity.hold();
         grant execute on function identity.hold() to synaxis_definer;",
    )
    .execute(&mut books)
    .await
    .expect("held");
}

/// Makes every letter due at one moment.
async fn release(admin: &TestAdmin) {
    let mut books = admin.database.connect().await;
    sqlx::raw_sql("drop trigger hold on identity.letters; drop function identity.hold();")
        .execute(&mut books)
        .await
        .expect("released");
    hurry(admin).await;
}

/// How many letters a sidecar sent.
async fn sent_by(admin: &TestAdmin) -> usize {
    let metrics = admin.metrics().await;
    let name = "synaxis_letters_tried_total{outcome=\"sent\"} ";
    let mut lines = metrics.lines();
    let sent = lines.find_map(|line| line.strip_prefix(name));
    sent.map_or(0, |count| count.parse().expect("a number"))
}

/// Puts every waiting letter's next try into the past: as if the time had gone by.
async fn hurry(admin: &TestAdmin) {
    let mut books = admin.database.connect().await;
    sqlx::query("update identity.letters set due_at = now() - interval '1 second'")
        .execute(&mut books)
        .await
        .expect("hurried");
}

/// How many letters wait, and how many were given up.
async fn kept(admin: &TestAdmin) -> (i64, i64) {
    let mut books = admin.database.connect().await;
    sqlx::query_as("select waiting, given_up from identity.letters_standing()")
        .fetch_one(&mut books)
        .await
        .expect("letters")
}

/// What a header of a letter says.
fn header<'a>(letter: &'a str, name: &str) -> &'a str {
    let mut lines = letter.lines();
    let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.expect("a header")
}

#[tokio::test]
async fn a_letter_goes_out_by_smtp_and_again_when_the_server_was_busy() {
    let (server, address) = MailServer::start(1).await;
    let url = format!("smtp://{address}");
    let admin = TestAdmin::start_with(&by_smtp(&url)).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});

    admin.post("/api/v1/auth/register", &body).await.expect(202);
    eventually("the letter is there", async || {
        !server.letters.lock().await.is_empty()
    })
    .await;

    let letter = server.letters.lock().await[0].replace("\r\n", "\n");
    assert!(
        letter.contains("From: Synaxis <noreply@example.com>\n"),
        "{letter}"
    );
    assert!(letter.contains("To: ada@example.com\n"), "{letter}");
    let code = code_in(&letter);
    admin
        .post("/api/v1/auth/verify-email", &json!({"token": code}))
        .await
        .expect(204);
    try_login(&admin, "ada@example.com", PASSWORD)
        .await
        .expect(200);
    assert!(!admin.log().contains(&code));
    assert!(admin.log().contains("is sent again"), "{}", admin.log());
}

#[tokio::test]
async fn a_letter_outlives_the_sidecar_that_was_to_send_it_and_leaves_nothing_behind() {
    let mut admin = TestAdmin::start_with(&by_smtp("smtp://127.0.0.1:1")).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    admin.post("/api/v1/auth/register", &body).await.expect(202);
    let (waiting, _) = kept(&admin).await;
    admin.kill();
    assert_eq!(waiting, 1, "it is written with the registration");
    let mut books = admin.database.connect().await;
    let sealed: String = sqlx::query_scalar("select to_jsonb(l)::text from identity.letters l")
        .fetch_one(&mut books)
        .await
        .expect("a letter");
    assert!(!sealed.contains("ada@example.com"), "{sealed}");

    let (server, address) = MailServer::start(0).await;
    hurry(&admin).await;
    let next = admin.another(&by_smtp(&format!("smtp://{address}"))).await;

    eventually("the letter is there", async || {
        !server.letters.lock().await.is_empty()
    })
    .await;
    let letter = server.letters.lock().await[0].replace("\r\n", "\n");
    let code = json!({"token": code_in(&letter)});
    next.post("/api/v1/auth/verify-email", &code)
        .await
        .expect(204);
    eventually("no row is left", async || kept(&next).await == (0, 0)).await;
    assert_eq!(server.letters.lock().await.len(), 1);
}

#[tokio::test]
async fn a_letter_in_the_hand_of_a_sidecar_that_died_is_sent_by_another_under_the_same_id() {
    let deaf = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("smtp://{}", deaf.local_addr().expect("an address"));
    let mut admin = TestAdmin::start_with(&by_smtp(&url)).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    admin.post("/api/v1/auth/register", &body).await.expect(202);
    let _line = deaf.accept().await.expect("somebody who sends");
    admin.kill();
    let mut books = admin.database.connect().await;
    let id: String = sqlx::query_scalar("select id::text from identity.letters")
        .fetch_one(&mut books)
        .await
        .expect("a letter");
    let (server, address) = MailServer::start(0).await;

    let _next = admin.another(&by_smtp(&format!("smtp://{address}"))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        server.letters.lock().await.len(),
        0,
        "still in another's hand"
    );
    hurry(&admin).await;

    eventually("the letter is there", async || {
        !server.letters.lock().await.is_empty()
    })
    .await;
    let letter = server.letters.lock().await[0].clone();
    assert_eq!(
        header(&letter, "Message-ID"),
        format!("<{id}@example.com>\r").trim_end()
    );
}

#[tokio::test]
async fn of_two_sidecars_one_sends_each_letter() {
    const LETTERS: usize = 60;
    let (server, address) = MailServer::start(usize::MAX).await;
    let url = format!("smtp://{address}");
    let mut crew = Crew::start().await;
    let one = crew.admin.another(&by_smtp(&url)).await;
    let other = crew.admin.another(&by_smtp(&url)).await;
    hold(&crew.admin).await;
    for number in 0..LETTERS {
        let body = json!({"email": format!("guest-{number}@example.com")});
        let path = format!("/api/v1/organizations/{}/invitations", crew.organization);
        tell(&one, &crew.owner, Method::POST, &path, &body)
            .await
            .expect(201);
    }

    crew.admin.kill();
    *server.refusals.lock().await = 0;
    server.pause_ms.store(200, Ordering::Release);
    release(&crew.admin).await;

    eventually("no letter waits", async || kept(&one).await == (0, 0)).await;
    let letters = server.letters.lock().await.clone();
    let ids: BTreeSet<&str> = letters
        .iter()
        .map(|letter| header(letter, "Message-ID"))
        .collect();
    assert_eq!((letters.len(), ids.len()), (LETTERS, LETTERS));
    let sent = [sent_by(&one).await, sent_by(&other).await];
    assert_eq!(sent.iter().sum::<usize>(), LETTERS, "{sent:?}");
    assert!(
        sent.iter().all(|sent| 0 < *sent),
        "both sent some: {sent:?}"
    );
}

#[tokio::test]
async fn a_letter_nobody_takes_while_it_counts_is_given_up_emptied_and_counted() {
    let settings = by_smtp("smtp://127.0.0.1:1");
    let admin = TestAdmin::start_with(&settings).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    admin.post("/api/v1/auth/register", &body).await.expect(202);
    let says = async |line: &str| admin.metrics().await.lines().any(|said| said == line);
    eventually("it is seen to wait", async || {
        says("synaxis_letters_waiting 1").await
    })
    .await;

    let mut books = admin.database.connect().await;
    sqlx::query("update identity.letters set useful_until = now()")
        .execute(&mut books)
        .await
        .expect("a late letter");
    hurry(&admin).await;

    eventually("it is given up", async || kept(&admin).await == (0, 1)).await;
    eventually("that is told", async || {
        says("synaxis_letters_given_up 1").await && says("synaxis_letters_waiting 0").await
    })
    .await;
    let (sealed, fault): (i32, String) =
        sqlx::query_as("select length(sealed_secret), fault from identity.letters")
            .fetch_one(&mut books)
            .await
            .expect("a row");
    assert_eq!((sealed, fault.as_str()), (0, "no mail server"));
    assert!(!admin.log().contains("ada@example.com"), "{}", admin.log());
}

#[tokio::test]
async fn a_mail_server_that_is_away_keeps_nobody_waiting() {
    let settings = [
        ("MAIL__TRANSPORT", "smtp"),
        ("MAIL__SMTP_URL", "smtp://127.0.0.1:1"),
    ];
    let admin = TestAdmin::start_with(&settings).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let began = std::time::Instant::now();

    admin.post("/api/v1/auth/register", &body).await.expect(202);

    assert!(began.elapsed() < Duration::from_secs(5));
}
