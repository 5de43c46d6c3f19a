#!lua
-- Tells which round is under way.
--
-- KEYS  1 the round
-- Reply the round and its phase (1: get ready, 2: answer), zeros when there is none
local id, phase = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+):(%d)$')
return {tonumber(id or 0), tonumber(phase or 0)}
