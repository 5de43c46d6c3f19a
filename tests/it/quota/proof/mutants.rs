//! Spoilt scripts: each breaks one promise, and each is found out by the histories.

use super::{bench::Texts, histories::differ};
use crate::stack::redis::OwnRedis;

/// One way to spoil one script: `from` stands in it exactly once.
struct Mutant {
    breaks: &'static str,
    script: &'static str,
    from: &'static str,
    to: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant {
        breaks: "The slot at the far edge of a sliding window is forgotten early.",
        script: "counter",
        from: "max(newest + 1, slot - 24), slot do",
        to: "max(newest + 1, slot - 24), slot + 1 do",
    },
    Mutant {
        breaks: "A call that is one too much still fits.",
        script: "admit",
        from: "if over <= 0 or (base[k]",
        to: "if over <= 1 or (base[k]",
    },
    Mutant {
        breaks: "An admission that is sent twice is charged twice.",
        script: "admit",
        from: "if before and not is_adjust then B = 0 end",
        to: "",
    },
    Mutant {
        breaks: "A settle that is sent twice gives back twice.",
        script: "settle",
        from: "  redis.call('SET', key, 'S' .. string.format('%.0f', list[1]), 'PX', ENDED)\n",
        to: "",
    },
    Mutant {
        breaks: "A settle changes whichever day is counted now.",
        script: "counter",
        from: "if counter[4] == slot then counter[5]",
        to: "if true then counter[5]",
    },
    Mutant {
        breaks: "A settle changes whichever minute is counted now.",
        script: "counter",
        from: "elseif slot > counter[4] - 25 then",
        to: "else",
    },
    Mutant {
        breaks: "A clock that is put back takes the sliding windows with it.",
        script: "counter",
        from: "if slot > newest then",
        to: "if slot ~= newest then",
    },
    Mutant {
        breaks: "A clock that is put back stops the sliding windows until it has caught up.",
        script: "counter",
        from: "local is_put_back = slot < newest - 1",
        to: "local is_put_back = false",
    },
    Mutant {
        breaks: "A clock that is put back by days stops the budget until it has caught up.",
        script: "counter",
        from: "local is_put_back = counter[4] > stop",
        to: "local is_put_back = false",
    },
    Mutant {
        breaks: "What nobody knows is taken for unused.",
        script: "admit",
        from: "    unseeded = true\n    return false\n",
        to: "    counter = fresh(width, width > 0 and floor(tick / width) or n[b + 6])\n    used[k], stops[k] = 0, n[b + 7]\n",
    },
    Mutant {
        breaks: "A call is charged before the candidate's own allowances are looked at.",
        script: "admit",
        from: "  local m = n[p + T + 1]\n",
        to: "  if tenant_wait == 0 then for k = 1, T do keep(KEYS[3 + k], counters[k], DAY) end end\n  for k = 1, tenant_wait == 0 and T or 0 do\n    counters[k][5 + counters[k][4] % 25] = (counters[k][5 + counters[k][4] % 25] or 0) + 1\n    keep(KEYS[3 + k], counters[k], DAY)\n  end\n  local m = n[p + T + 1]\n",
    },
    Mutant {
        breaks: "A call that has ended stays in flight until its lease is over.",
        script: "settle",
        from: "if how == 2 and meter ~= IN_FLIGHT then by = 0",
        to: "if how == 2 or meter == IN_FLIGHT then by = 0",
    },
    Mutant {
        breaks: "A lease that is renewed is over all the same.",
        script: "renew",
        from: "    amend(counter, width, counter[4], amount)\n",
        to: "",
    },
    Mutant {
        breaks: "A call that moves to a dearer candidate holds what the cheaper one took.",
        script: "admit",
        from: "slot, by = slots[k], amount - base[k] end",
        to: "slot, by = slots[k], 0 end",
    },
    Mutant {
        breaks: "A candidate that failed gets back what it used, too.",
        script: "admit",
        from: "spent_by(before[r + 1]) - before[r + 5]}",
        to: "-before[r + 5]}",
    },
    Mutant {
        breaks: "Seeding lowers what is known to be used.",
        script: "seed",
        from: "max(used, books + asserted)",
        to: "books + asserted",
    },
    Mutant {
        breaks: "What survived of a minute is forgotten slot by slot, and what the books added to it with it.",
        script: "seed",
        from: "    if width > 0 then for i = 5, 29 do counter[i] = 0 end end\n    counter[width > 0 and 5 + counter[4] % 25 or 5] = max(used, books + asserted)\n",
        to: "    amend(counter, width, counter[4], max(0, books + asserted - used))\n",
    },
    Mutant {
        breaks: "What was asserted is forgotten when the books are asked.",
        script: "seed",
        from: "counter[2] == epoch and counter[3] or 0",
        to: "0",
    },
    Mutant {
        breaks: "A hold that is asserted twice counts twice.",
        script: "reassert",
        from: "    or (known and known[1] == epoch)\n",
        to: "",
    },
    Mutant {
        breaks: "A call of yesterday that ends during a rebuild is taken off what today's calls asserted.",
        script: "settle",
        from: "if is_awaited and counter[2] ~= 0",
        to: "if counter[2] ~= 0",
    },
    Mutant {
        breaks: "A hold that moved just before Redis lost its last words counts what it held before.",
        script: "reassert",
        from: "  if before then correct(key, counter, width, slot, amount - before) end\n",
        to: "",
    },
    Mutant {
        breaks: "A cancelled call is admitted when its admission comes late.",
        script: "settle",
        from: "    if how == 1 then redis.call('SET', key, 'X', 'PX', ENDED) end\n",
        to: "",
    },
    Mutant {
        breaks: "Whoever goes by a lost memory is answered.",
        script: "counter",
        from: "if not value or sub(value, 1, #token) ~= token then return nil end\n  local opens, seen = string.match(value, '^(%d+):(%d+)$', #token + 1)",
        to: "if not value then return nil end\n  local opens, seen = string.match(value, '(%d+):(%d+)$')",
    },
    Mutant {
        breaks: "A clock that was put ahead ends all minutes before anybody noticed.",
        script: "counter",
        from: "  if not seen or is_unheard(tonumber(seen)) then return nil end\n",
        to: "",
    },
    Mutant {
        breaks: "A clock that was put ahead ends all minutes once it was noticed.",
        script: "counter",
        from: "  tick = now - tonumber(shift)\n",
        to: "  tick = now\n",
    },
    Mutant {
        breaks: "A pause is taken for a jump.",
        script: "epoch",
        from: " - tonumber(ARGV[6])\n",
        to: "\n",
    },
    Mutant {
        breaks: "A clock that was put ahead so far that all may have expired is gone by.",
        script: "epoch",
        from: "if jump > OUTLIVE then",
        to: "if false then",
    },
    Mutant {
        breaks: "Leases end when the clock is put ahead.",
        script: "renew",
        from: "roll_ring(counter, width, tick + lease)",
        to: "roll_ring(counter, width, now + lease)",
    },
    Mutant {
        breaks: "What was asserted of a minute counts by the clock that jumped.",
        script: "reassert",
        from: "floor((tick - age) / width)",
        to: "floor((now - age) / width)",
    },
    Mutant {
        breaks: "A lease whose record survived ends with what was renewed and lost.",
        script: "reassert",
        from: "  if not is_settled then amend(counter, width, counter[4], amount) end\n",
        to: "  if not is_settled and not before then amend(counter, width, counter[4], amount) end\n",
    },
    Mutant {
        breaks: "A memory that was just lost admits before others could assert.",
        script: "admit",
        from: "if tick < opens then return tell({6, opens - tick}) end",
        to: "",
    },
    Mutant {
        breaks: "A limit in shadow mode refuses.",
        script: "admit",
        from: "if not have or n[b + 5] ~= 0 then return 0 end",
        to: "if not have then return 0 end",
    },
    Mutant {
        breaks: "Whoever waits as long as it was told comes a slot too early.",
        script: "admit",
        from: "if over <= 0 then return (slot + 25",
        to: "if over <= 0 then return (slot + 24",
    },
];

/// The most histories a mutant may live through.
const PATIENCE: u32 = 10_000;
const WORKERS: usize = 3;

impl Mutant {
    fn texts(&self) -> Texts {
        let mut texts = Texts::shipped();
        let text = if self.script == "counter" {
            &mut texts.common
        } else {
            let mut own = texts.own.iter_mut();
            let found = own.find(|(_, name, _)| *name == self.script);
            &mut found.expect("a script").2
        };
        assert_eq!(
            text.matches(self.from).count(),
            1,
            "{} no longer applies",
            self.breaks
        );
        *text = text.replace(self.from, self.to);
        texts
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_spoilt_script_is_found_out() {
    let workers = (0..WORKERS).map(|worker| async move {
        let redis = OwnRedis::start().await;
        let work = move || {
            let mine = MUTANTS.iter().skip(worker).step_by(WORKERS);
            let survives = |mutant: &&Mutant| {
                redis.empty();
                let found = differ(&redis.url(), &mutant.texts(), PATIENCE, 0);
                // A script that does not run has broken no promise yet.
                found.is_none_or(|found| found.contains("Pipeline failure"))
            };
            mine.filter(survives)
                .map(|mutant| mutant.breaks)
                .collect::<Vec<_>>()
        };
        tokio::task::spawn_blocking(work).await.expect("a worker")
    });
    let survivors = futures::future::join_all(workers).await.concat();

    assert!(survivors.is_empty(), "{survivors:#?}");
}
