//! Mail over SMTP, to a server that listens and remembers.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

use super::people::{PASSWORD, code_in, try_login};
use crate::stack::{admin::TestAdmin, eventually};

/// A mail server that takes everything after a number of refusals.
#[derive(Clone, Default)]
struct MailServer {
    letters: Arc<Mutex<Vec<String>>>,
    refusals: Arc<Mutex<usize>>,
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

#[tokio::test]
async fn a_letter_goes_out_by_smtp_and_again_when_the_server_was_busy() {
    let (server, address) = MailServer::start(1).await;
    let url = format!("smtp://{address}");
    let settings = [
        ("MAIL__TRANSPORT", "smtp"),
        ("MAIL__SMTP_URL", url.as_str()),
        ("MAIL__FROM", "Synaxis <noreply@example.com>"),
    ];
    let admin = TestAdmin::start_with(&settings).await;
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
