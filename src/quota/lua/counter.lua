#!lua
-- What every script of the ledger shares; the script's own file follows it.
--
-- A counter is a packed list:
--   1  the epoch it was seeded in; 0: it is not, so how much was used is unknown
--   2  the epoch of what proxies asserted before it was seeded    3  how much that is
--   4  the newest slot of the ring, or the start of the calendar window (ms)
--   5  what is used in the calendar window, or 5..29 a ring of 25 slots: the current one and the 24 before
--   6  of a calendar window: when the round was opened that corrected it last (ms); absent: never
--   30 by how many slots the ring runs ahead of the clock, because that was put back; absent: none
-- `width` is a slot's width in ms, 0 for calendar windows. A counter of what is in flight is a ring over the
-- moments the leases end: `lead` is the lease, 0 for all others.
--
-- A hold's record is 'H' and a packed list: 1 epoch, 2 bid, then six per charge: key, meter, is own, width, slot,
-- amount. 'S' and the epoch: settled. 'X': cancelled, perhaps before it was admitted.
-- Keys named in a record live in the record's slot of a cluster.
local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) -- the clock
-- Rings and leases go by this one: a clock that does not jump. `epoch_of` sets it.
local tick
local floor, max, min, sub = math.floor, math.max, math.min, string.sub
local DAY, RECORD, ENDED, IN_FLIGHT = 86400000, 86400000, 60000, 5
-- By how much the clock may differ from what it said at the last beat (ms): more, and nobody knows yet whether time
-- passed or the clock jumped.
local UNHEARD = 2000
-- How long counters of leases outlive these, by a clock that may be put ahead: by more, and all memory is in doubt (ms).
local OUTLIVE = 7200000

local function unpack_counter(packed)
  return packed and {cmsgpack.unpack(packed)}
end

local function open(key)
  return unpack_counter(redis.call('GET', key))
end

local function keep(key, counter, ttl)
  redis.call('SET', key, cmsgpack.pack(unpack(counter)), 'PX', ttl)
end

local function fresh(width, at)
  local counter = {0, 0, 0, at, 0}
  if width > 0 then for i = 6, 29 do counter[i] = 0 end end
  return counter
end

-- Moves a ring on to the moment `at`; returns its sum, and whether the clock was put back. Then the ring runs ahead
-- of it from where it stands: nothing is permitted twice, and nothing waits until the clock has caught up. The newest
-- slot is made to last rather longer than shorter.
local function roll_ring(counter, width, at)
  local newest, sum = counter[4], 0
  local slot = floor(at / width) + (counter[30] or 0)
  local is_put_back = slot < newest - 1
  if is_put_back then counter[30] = (counter[30] or 0) + newest - 1 - slot end
  if slot > newest then
    for i = max(newest + 1, slot - 24), slot do counter[5 + i % 25] = 0 end
    counter[4] = slot
  end
  for i = 5, 29 do sum = sum + counter[i] end
  return sum, is_put_back
end

-- Moves a calendar counter on to the window [start, stop); returns what is used in it, and whether the clock was put
-- back by more than a window. Less is covered by staying in the newer window.
local function roll_window(counter, start, stop)
  local is_put_back = counter[4] > stop
  if is_put_back then counter[4] = start end
  if start > counter[4] then counter[3], counter[4], counter[5] = 0, start, 0 end
  return counter[5], is_put_back
end

-- Changes what a counter counts in `slot`, if that is still counted.
local function amend(counter, width, slot, by)
  if width == 0 then
    if counter[4] == slot then counter[5] = max(0, counter[5] + by) end
  elseif slot > counter[4] - 25 then
    local i = 5 + min(slot, counter[4]) % 25
    counter[i] = max(0, counter[i] + by)
  end
end

-- Every reply ends with the clock and the script's number: of two that follow each other the later has the higher.
-- `last` is the number before when that was read already.
local function answer(key, reply, last)
  local seq = tonumber(last or redis.call('GET', key) or 0) + 1
  redis.call('SET', key, string.format('%.0f', seq), 'PX', 7 * DAY)
  reply[#reply + 1] = now
  reply[#reply + 1] = seq
  return reply
end

-- The epoch is written 'id:server:shift:opens:seen': by how much `tick` lags behind the clock, when the epoch opens
-- by `tick`, and the clock at the last beat. A proxy knows it by its first three parts, the token.
local function is_unheard(seen)
  return math.abs(now - seen) > UNHEARD
end

-- Returns the epoch's id and when it opens; nothing when the proxy goes by another, or the clock may have jumped.
local function epoch_of(value, token)
  if not value or sub(value, 1, #token) ~= token then return nil end
  local opens, seen = string.match(value, '^(%d+):(%d+)$', #token + 1)
  if not seen or is_unheard(tonumber(seen)) then return nil end
  local id, shift = string.match(token, '^(%d+):[^:]*:(-?%d+):$')
  tick = now - tonumber(shift)
  return tonumber(id), tonumber(opens)
end

-- An organization's part of an allowance begins at nothing: what was before a loss is nobody's advantage.
local function share_of(counter, epoch, width, start)
  if counter and counter[1] == epoch then return counter end
  local awaited = counter and counter[2] == epoch and counter[3] or 0
  local share = fresh(width, width > 0 and floor(tick / width) or start)
  share[1] = epoch
  amend(share, width, share[4], awaited)
  return share
end

-- How long whoever asked for an allowance still counts among those who share it: a window's twenty-fourth, but no
-- less than a minute and no more than an hour.
local function horizon_of(width, length)
  return max(60000, min(width > 0 and width or floor(length / 24), 3600000))
end

-- Who else asked lately for the allowance on counter `whole`: pairs of organization and moment. Notes that `own` asks.
local ASKING = 256
local function who_asks(whole, own, lately)
  local key = whole .. ':w'
  local packed = redis.call('GET', key)
  local all, others, kept, is_new = packed and cmsgpack.unpack(packed) or {}, {}, {}, true
  for i = 1, #all, 2 do
    local age = now - all[i + 1]
    if all[i] == own and age >= 0 and age < lately / 16 then is_new = false end
    if all[i] ~= own and age >= 0 and age < lately then
      others[#others + 1] = {all[i], all[i + 1]}
      kept[#kept + 1] = all[i]
      kept[#kept + 1] = all[i + 1]
    end
  end
  if is_new and #others < ASKING then
    kept[#kept + 1] = own
    kept[#kept + 1] = now
    redis.call('SET', key, cmsgpack.pack(kept), 'PX', lately)
  end
  return others
end

-- How much an organization has of an allowance now.
local function used_by(key, width, start, stop)
  local counter = open(key)
  if not counter then return 0 end
  if width > 0 then return (roll_ring(counter, width, tick)) end
  return (roll_window(counter, start, stop))
end

local function unpack_record(record)
  return {cmsgpack.unpack(sub(record, 2))}
end

local function keep_record(key, list)
  redis.call('SET', key, 'H' .. cmsgpack.pack(unpack(list)), 'PX', RECORD)
end
