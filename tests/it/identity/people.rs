//! Somebody with an address, who reads their mail.

use std::{fs, path::Path, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::stack::admin::{Reply, TestAdmin};

/// A password nobody guesses.
pub const PASSWORD: &str = "the kettle sings at dawn";

/// Somebody who signed in.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub email: String,
    pub user_id: String,
    pub session_id: String,
    pub access_token: String,
    pub refresh_token: String,
}

impl Visitor {
    /// Reads what a sign-in answered.
    pub fn of(email: &str, answer: &Value) -> Self {
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Self {
            email: email.to_owned(),
            user_id: text("user_id"),
            session_id: text("session_id"),
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
        }
    }
}

/// Registers an account with an organization and proves its address.
pub async fn register(admin: &TestAdmin, email: &str) {
    let body = json!({"email": email, "password": PASSWORD, "display_name": "Ada", "organization_name": "Acme"});
    admin.post("/api/v1/auth/register", &body).await.expect(202);
    let code = mailed_code(admin, email, "Confirm your e-mail address").await;
    admin
        .post("/api/v1/auth/verify-email", &json!({"token": code}))
        .await
        .expect(204);
}

/// Tries a password.
pub async fn try_login(admin: &TestAdmin, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    admin.post("/api/v1/auth/login", &body).await
}

/// Signs in with the usual password.
pub async fn login(admin: &TestAdmin, email: &str) -> Visitor {
    let answer = try_login(admin, email, PASSWORD).await.expect(200).json();
    assert_eq!(answer["status"], "signed_in", "{answer}");
    Visitor::of(email, &answer)
}

/// Registers, proves and signs in.
pub async fn newcomer(admin: &TestAdmin, email: &str) -> Visitor {
    register(admin, email).await;
    login(admin, email).await
}

/// Asks as somebody.
pub async fn ask(admin: &TestAdmin, who: &Visitor, method: Method, path: &str) -> Reply {
    admin
        .request(method, path)
        .token(&who.access_token)
        .send()
        .await
}

/// Asks as somebody, with a body.
pub async fn tell(
    admin: &TestAdmin,
    who: &Visitor,
    method: Method,
    path: &str,
    body: &Value,
) -> Reply {
    let request = admin.request(method, path).token(&who.access_token);
    request.json(body).send().await
}

/// Asks as somebody else's machine would: loopback has many addresses.
pub fn client_at(address: [u8; 4]) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .local_address(std::net::IpAddr::from(address))
        .build()
        .expect("a client")
}

/// Waits for the newest letter to `email` with that subject.
pub async fn letter(admin: &TestAdmin, email: &str, subject: &str) -> String {
    for _ in 0..200 {
        if let Some(letter) = letters(admin.folder.path(), email, subject).pop() {
            return letter;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let all = letters_of(admin.folder.path());
    panic!(
        "no letter `{subject}` to {email}:\n{all:?}\n{}",
        admin.log()
    );
}

/// Waits for a letter and takes it away; returns the code in it.
pub async fn mailed_code(admin: &TestAdmin, email: &str, subject: &str) -> String {
    let letter = letter(admin, email, subject).await;
    forget_letters(admin);
    code_in(&letter)
}

/// The code in a letter: the one line that is indented.
pub fn code_in(letter: &str) -> String {
    let line = letter.lines().find(|line| line.starts_with("    "));
    line.expect("a code").trim().to_owned()
}

/// Every letter to `email` with that subject, oldest first.
pub fn letters(folder: &Path, email: &str, subject: &str) -> Vec<String> {
    let is_it = |text: &String| {
        text.contains(&format!("To: {email}\n")) && text.contains(&format!("Subject: {subject}\n"))
    };
    letters_of(folder).into_iter().filter(is_it).collect()
}

/// Every whole letter, oldest first.
fn letters_of(folder: &Path) -> Vec<String> {
    let Ok(files) = fs::read_dir(folder.join("mail")) else {
        return Vec::new();
    };
    let read = |file: std::io::Result<fs::DirEntry>| {
        let file = file.ok()?;
        let written = file.metadata().ok()?.modified().ok()?;
        let text = fs::read_to_string(file.path()).ok()?.replace("\r\n", "\n");
        text.trim_end()
            .ends_with("Synaxis")
            .then_some((written, text))
    };
    let mut found: Vec<_> = files.filter_map(read).collect();
    found.sort();
    found.into_iter().map(|(_, text)| text).collect()
}

/// Takes every letter away.
pub fn forget_letters(admin: &TestAdmin) {
    let folder = admin.folder.path().join("mail");
    for file in fs::read_dir(folder).expect("a folder").flatten() {
        let _gone = fs::remove_file(file.path());
    }
}
