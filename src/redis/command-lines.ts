/**
 * What Redis tells about each command, as `COMMAND` and `COMMAND DOCS` of Redis 7.0 do: one line per command with its full name,
 * arity, flags, positions of its keys (first, last, step), ACL categories, tips, key specifications, group, the version that
 * brought it and a summary. It is data: whether a command is there is decided by its having a handler.
 */
export const commandLines = `
acl -2 - 0,0,0 slow - - server 6.0.0 A container for Access List Control commands
acl|whoami 2 noscript,loading,stale 0,0,0 slow - - server 6.0.0 Return the name of the user associated to the current connection
append 3 write,denyoom,fast 1,1,1 write,string,fast - RW+insert@1:range,0,1,0 string 2.0.0 Append a value to a key
asking 1 fast 0,0,0 fast,connection - - cluster 3.0.0 Sent by cluster clients after an -ASK redirect
auth -2 noscript,loading,stale,fast,no_auth,allow_busy 0,0,0 fast,connection - - connection 1.0.0 Authenticate to the server
bgrewriteaof 1 admin,noscript,no_async_loading 0,0,0 admin,slow,dangerous - - server 1.0.0 Asynchronously rewrite the append-only file
bgsave -1 admin,noscript,no_async_loading 0,0,0 admin,slow,dangerous - - server 1.0.0 Asynchronously save the dataset to disk
client -2 - 0,0,0 slow - - connection 2.4.0 A container for client connection commands
client|getname 2 noscript,loading,stale 0,0,0 slow,connection - - connection 2.6.9 Get the current connection name
client|help 2 loading,stale 0,0,0 slow,connection - - connection 5.0.0 Show helpful text about the different subcommands
client|id 2 noscript,loading,stale 0,0,0 slow,connection - - connection 5.0.0 Returns the client ID for the current connection
client|info 2 noscript,loading,stale 0,0,0 slow,connection nondeterministic_output - connection 6.2.0 Returns information about the current client connection.
client|list -2 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous,connection nondeterministic_output - connection 2.4.0 Get the list of client connections
client|no-evict 3 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous,connection - - connection 7.0.0 Set client eviction mode for the current connection
client|no-touch 3 noscript,loading,stale 0,0,0 slow,connection - - connection 7.2.0 Controls whether commands sent by the client will alter the LRU/LFU of the keys they access
client|reply 3 noscript,loading,stale 0,0,0 slow,connection - - connection 3.2.0 Instruct the server whether to reply to commands
client|setinfo 4 noscript,loading,stale 0,0,0 slow,connection request_policy:all_nodes,response_policy:all_succeeded - connection 7.2.0 Set client or connection specific info
client|setname 3 noscript,loading,stale 0,0,0 slow,connection - - connection 2.6.9 Set the current connection name
cluster -2 - 0,0,0 slow - - cluster 3.0.0 A container for cluster commands
cluster|countkeysinslot 3 stale 0,0,0 slow - - cluster 3.0.0 Return the number of local keys in the specified hash slot
cluster|getkeysinslot 4 stale 0,0,0 slow nondeterministic_output - cluster 3.0.0 Return local key names in the specified hash slot
cluster|help 2 loading,stale 0,0,0 slow - - cluster 5.0.0 Show helpful text about the different subcommands
cluster|info 2 stale 0,0,0 slow nondeterministic_output - cluster 3.0.0 Provides info about Redis Cluster node state
cluster|keyslot 3 stale 0,0,0 slow - - cluster 3.0.0 Returns the hash slot of the specified key
cluster|links 2 stale 0,0,0 slow nondeterministic_output - cluster 7.0.0 Returns a list of all TCP links to and from peer nodes in cluster
cluster|myid 2 stale 0,0,0 slow - - cluster 3.0.0 Return the node id
cluster|myshardid 2 stale 0,0,0 slow nondeterministic_output - cluster 7.2.0 Return the shard ID of a node
cluster|nodes 2 stale 0,0,0 slow nondeterministic_output - cluster 3.0.0 Get Cluster config for the node
cluster|shards 2 stale 0,0,0 slow nondeterministic_output - cluster 7.0.0 Get array of cluster slots to node mappings
cluster|slots 2 stale 0,0,0 slow nondeterministic_output - cluster 3.0.0 Get array of Cluster slot to node mappings
command -1 loading,stale 0,0,0 slow,connection nondeterministic_output_order - server 2.8.13 Get array of Redis command details
command|count 2 loading,stale 0,0,0 slow,connection - - server 2.8.13 Get total number of Redis commands
command|docs -2 loading,stale 0,0,0 slow,connection nondeterministic_output_order - server 7.0.0 Get array of specific Redis command documentation
command|getkeys -4 loading,stale 0,0,0 slow,connection - - server 2.8.13 Extract keys given a full Redis command
command|getkeysandflags -4 loading,stale 0,0,0 slow,connection - - server 7.0.0 Extract keys and access flags given a full Redis command
command|help 2 loading,stale 0,0,0 slow,connection - - server 5.0.0 Show helpful text about the different subcommands
command|info -2 loading,stale 0,0,0 slow,connection nondeterministic_output_order - server 2.8.13 Get array of specific Redis command details, or all when no argument is given.
command|list -2 loading,stale 0,0,0 slow,connection nondeterministic_output_order - server 7.0.0 Get an array of Redis command names
config -2 - 0,0,0 slow - - server 2.0.0 A container for server configuration commands
config|get -3 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous - - server 2.0.0 Get the values of configuration parameters
config|help 2 loading,stale 0,0,0 slow - - server 5.0.0 Show helpful text about the different subcommands
config|resetstat 2 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous - - server 2.0.0 Reset the stats returned by INFO
config|rewrite 2 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous - - server 2.8.0 Rewrite the configuration file with the in memory configuration
config|set -4 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous request_policy:all_nodes,response_policy:all_succeeded - server 2.0.0 Set configuration parameters to the given values
copy -3 write,denyoom 1,2,1 keyspace,write,slow - RO+access@1:range,0,1,0;OW+update@2:range,0,1,0 generic 6.2.0 Copy a key
dbsize 1 readonly,fast 0,0,0 keyspace,read,fast request_policy:all_shards,response_policy:agg_sum - server 1.0.0 Return the number of keys in the selected database
debug -2 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous - - server 1.0.0 A container for debugging commands
decr 2 write,denyoom,fast 1,1,1 write,string,fast - RW+access+update@1:range,0,1,0 string 1.0.0 Decrement the integer value of a key by one
decrby 3 write,denyoom,fast 1,1,1 write,string,fast - RW+access+update@1:range,0,1,0 string 1.0.0 Decrement the integer value of a key by the given number
del -2 write 1,-1,1 keyspace,write,slow request_policy:multi_shard,response_policy:agg_sum RM+delete@1:range,-1,1,0 generic 1.0.0 Delete a key
discard 1 noscript,loading,stale,fast,allow_busy 0,0,0 fast,transaction - - transactions 2.0.0 Discard all commands issued after MULTI
echo 2 loading,stale,fast 0,0,0 fast,connection - - connection 1.0.0 Echo the given string
eval -3 noscript,stale,skip_monitor,no_mandatory_keys,movablekeys 0,0,0 slow,scripting - RW+access+update@2:keynum,0,1,1 scripting 2.6.0 Execute a Lua script server side
eval_ro -3 readonly,noscript,stale,skip_monitor,no_mandatory_keys,movablekeys 0,0,0 slow,scripting - RO+access@2:keynum,0,1,1 scripting 7.0.0 Execute a read-only Lua script server side
evalsha -3 noscript,stale,skip_monitor,no_mandatory_keys,movablekeys 0,0,0 slow,scripting - RW+access+update@2:keynum,0,1,1 scripting 2.6.0 Execute a Lua script server side
evalsha_ro -3 readonly,noscript,stale,skip_monitor,no_mandatory_keys,movablekeys 0,0,0 slow,scripting - RO+access@2:keynum,0,1,1 scripting 7.0.0 Execute a read-only Lua script server side
exec 1 noscript,loading,stale,skip_slowlog 0,0,0 slow,transaction - - transactions 1.2.0 Execute all commands issued after MULTI
exists -2 readonly,fast 1,-1,1 keyspace,read,fast request_policy:multi_shard,response_policy:agg_sum RO@1:range,-1,1,0 generic 1.0.0 Determine if a key exists
expire -3 write,fast 1,1,1 keyspace,write,fast - RW+update@1:range,0,1,0 generic 1.0.0 Set a key's time to live in seconds
expireat -3 write,fast 1,1,1 keyspace,write,fast - RW+update@1:range,0,1,0 generic 1.2.0 Set the expiration for a key as a UNIX timestamp
expiretime 2 readonly,fast 1,1,1 keyspace,read,fast - RO+access@1:range,0,1,0 generic 7.0.0 Get the expiration Unix timestamp for a key
flushall -1 write 0,0,0 keyspace,write,slow,dangerous request_policy:all_shards,response_policy:all_succeeded - server 1.0.0 Remove all keys from all databases
flushdb -1 write 0,0,0 keyspace,write,slow,dangerous request_policy:all_shards,response_policy:all_succeeded - server 1.0.0 Remove all keys from the current database
get 2 readonly,fast 1,1,1 read,string,fast - RO+access@1:range,0,1,0 string 1.0.0 Get the value of a key
getdel 2 write,fast 1,1,1 write,string,fast - RW+access+delete@1:range,0,1,0 string 6.2.0 Get the value of a key and delete the key
getex -2 write,fast 1,1,1 write,string,fast - RW+access+update@1:range,0,1,0 string 6.2.0 Get the value of a key and optionally set its expiration
getrange 4 readonly 1,1,1 read,string,slow - RO+access@1:range,0,1,0 string 2.4.0 Get a substring of the string stored at a key
getset 3 write,denyoom,fast 1,1,1 write,string,fast - RW+access+update@1:range,0,1,0 string 1.0.0 Set the string value of a key and return its old value
hello -1 noscript,loading,stale,fast,no_auth,allow_busy 0,0,0 fast,connection - - connection 6.0.0 Handshake with Redis
incr 2 write,denyoom,fast 1,1,1 write,string,fast - RW+access+update@1:range,0,1,0 string 1.0.0 Increment the integer value of a key by one
incrby 3 write,denyoom,fast 1,1,1 write,string,fast - RW+access+update@1:range,0,1,0 string 1.0.0 Increment the integer value of a key by the given amount
incrbyfloat 3 write,denyoom,fast 1,1,1 write,string,fast - RW+access+update@1:range,0,1,0 string 2.6.0 Increment the float value of a key by the given amount
info -1 loading,stale 0,0,0 slow,dangerous nondeterministic_output,request_policy:all_shards,response_policy:special - server 1.0.0 Get information and statistics about the server
keys 2 readonly 0,0,0 keyspace,read,slow,dangerous request_policy:all_shards,nondeterministic_output_order - generic 1.0.0 Find all keys matching the given pattern
lastsave 1 loading,stale,fast 0,0,0 admin,fast,dangerous nondeterministic_output - server 1.0.0 Get the UNIX time stamp of the last successful save to disk
latency -2 - 0,0,0 slow - - server 2.8.13 A container for latency diagnostics commands
latency|latest 2 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous nondeterministic_output,request_policy:all_nodes,response_policy:special - server 2.8.13 Return the latest latency samples for all events.
memory -2 - 0,0,0 slow - - server 4.0.0 A container for memory diagnostics commands
memory|help 2 loading,stale 0,0,0 slow - - server 4.0.0 Show helpful text about the different subcommands
memory|usage -3 readonly 2,2,1 read,slow - RO@2:range,0,1,0 server 4.0.0 Estimate the memory usage of a key
mget -2 readonly,fast 1,-1,1 read,string,fast request_policy:multi_shard RO+access@1:range,-1,1,0 string 1.0.0 Get the values of all the given keys
module -2 - 0,0,0 slow - - server 4.0.0 A container for module commands
module|help 2 loading,stale 0,0,0 slow - - server 5.0.0 Show helpful text about the different subcommands
module|list 2 admin,noscript 0,0,0 admin,slow,dangerous nondeterministic_output_order - server 4.0.0 List all modules loaded by the server
monitor 1 admin,noscript,loading,stale 0,0,0 admin,slow,dangerous - - server 1.0.0 Listen for all requests received by the server in real time
mset -3 write,denyoom 1,-1,2 write,string,slow request_policy:multi_shard,response_policy:all_succeeded OW+update@1:range,-1,2,0 string 1.0.1 Set multiple keys to multiple values
msetnx -3 write,denyoom 1,-1,2 write,string,slow request_policy:multi_shard,response_policy:agg_min OW+insert@1:range,-1,2,0 string 1.0.1 Set multiple keys to multiple values, only if none of the keys exist
multi 1 noscript,loading,stale,fast,allow_busy 0,0,0 fast,transaction - - transactions 1.2.0 Mark the start of a transaction block
object -2 - 0,0,0 slow - - generic 2.2.3 A container for object introspection commands
object|encoding 3 readonly 2,2,1 keyspace,read,slow nondeterministic_output RO@2:range,0,1,0 generic 2.2.3 Inspect the internal encoding of a Redis object
object|freq 3 readonly 2,2,1 keyspace,read,slow nondeterministic_output RO@2:range,0,1,0 generic 4.0.0 Get the logarithmic access frequency counter of a Redis object
object|help 2 loading,stale 0,0,0 keyspace,slow - - generic 6.2.0 Show helpful text about the different subcommands
object|idletime 3 readonly 2,2,1 keyspace,read,slow nondeterministic_output RO@2:range,0,1,0 generic 2.2.3 Get the time since a Redis object was last accessed
object|refcount 3 readonly 2,2,1 keyspace,read,slow nondeterministic_output RO@2:range,0,1,0 generic 2.2.3 Get the number of references to the value of the key
persist 2 write,fast 1,1,1 keyspace,write,fast - RW+update@1:range,0,1,0 generic 2.2.0 Remove the expiration from a key
pexpire -3 write,fast 1,1,1 keyspace,write,fast - RW+update@1:range,0,1,0 generic 2.6.0 Set a key's time to live in milliseconds
pexpireat -3 write,fast 1,1,1 keyspace,write,fast - RW+update@1:range,0,1,0 generic 2.6.0 Set the expiration for a key as a UNIX timestamp specified in milliseconds
pexpiretime 2 readonly,fast 1,1,1 keyspace,read,fast - RO+access@1:range,0,1,0 generic 7.0.0 Get the expiration Unix timestamp for a key in milliseconds
ping -1 fast 0,0,0 fast,connection request_policy:all_shards,response_policy:all_succeeded - connection 1.0.0 Ping the server
psetex 4 write,denyoom 1,1,1 write,string,slow - OW+update@1:range,0,1,0 string 2.6.0 Set the value and expiration in milliseconds of a key
psubscribe -2 pubsub,noscript,loading,stale 0,0,0 pubsub,slow - - pubsub 2.0.0 Listen for messages published to channels matching the given patterns
pttl 2 readonly,fast 1,1,1 keyspace,read,fast nondeterministic_output RO+access@1:range,0,1,0 generic 2.6.0 Get the time to live for a key in milliseconds
publish 3 pubsub,loading,stale,fast 0,0,0 pubsub,fast - - pubsub 2.0.0 Post a message to a channel
pubsub -2 - 0,0,0 slow - - pubsub 2.8.0 A container for Pub/Sub commands
pubsub|channels -2 pubsub,loading,stale 0,0,0 pubsub,slow - - pubsub 2.8.0 List active channels
pubsub|help 2 loading,stale 0,0,0 slow - - pubsub 6.2.0 Show helpful text about the different subcommands
pubsub|numpat 2 pubsub,loading,stale 0,0,0 pubsub,slow - - pubsub 2.8.0 Get the count of unique patterns pattern subscriptions
pubsub|numsub -2 pubsub,loading,stale 0,0,0 pubsub,slow - - pubsub 2.8.0 Get the count of subscribers for channels
pubsub|shardchannels -2 pubsub,loading,stale 0,0,0 pubsub,slow - - pubsub 7.0.0 List active shard channels
pubsub|shardnumsub -2 pubsub,loading,stale 0,0,0 pubsub,slow - - pubsub 7.0.0 Get the count of subscribers for shard channels
punsubscribe -1 pubsub,noscript,loading,stale 0,0,0 pubsub,slow - - pubsub 2.0.0 Stop listening for messages posted to channels matching the given patterns
quit -1 noscript,loading,stale,fast,no_auth,allow_busy 0,0,0 fast,connection - - connection 1.0.0 Close the connection
randomkey 1 readonly 0,0,0 keyspace,read,slow request_policy:all_shards,nondeterministic_output - generic 1.0.0 Return a random key from the keyspace
readonly 1 loading,stale,fast 0,0,0 fast,connection - - cluster 3.0.0 Enables read queries for a connection to a cluster replica node
readwrite 1 loading,stale,fast 0,0,0 fast,connection - - cluster 3.0.0 Disables read queries for a connection to a cluster replica node
rename 3 write 1,2,1 keyspace,write,slow - RW+access+delete@1:range,0,1,0;OW+update@2:range,0,1,0 generic 1.0.0 Rename a key
renamenx 3 write,fast 1,2,1 keyspace,write,fast - RW+access+delete@1:range,0,1,0;OW+insert@2:range,0,1,0 generic 1.0.0 Rename a key, only if the new key does not exist
reset 1 noscript,loading,stale,fast,no_auth,allow_busy 0,0,0 fast,connection - - connection 6.2.0 Reset the connection
role 1 noscript,loading,stale,fast 0,0,0 admin,fast,dangerous - - server 2.8.12 Return the role of the instance in the context of replication
save 1 admin,noscript,no_async_loading,no_multi 0,0,0 admin,slow,dangerous - - server 1.0.0 Synchronously save the dataset to disk
scan -2 readonly 0,0,0 keyspace,read,slow nondeterministic_output,request_policy:special - generic 2.8.0 Incrementally iterate the keys space
script -2 - 0,0,0 slow - - scripting 2.6.0 A container for Lua scripts management commands
script|exists -3 noscript 0,0,0 slow,scripting request_policy:all_shards,response_policy:agg_logical_and - scripting 2.6.0 Check existence of scripts in the script cache.
script|flush -2 noscript 0,0,0 slow,scripting request_policy:all_nodes,response_policy:all_succeeded - scripting 2.6.0 Remove all the scripts from the script cache.
script|help 2 loading,stale 0,0,0 slow,scripting - - scripting 5.0.0 Show helpful text about the different subcommands
script|load 3 noscript,stale 0,0,0 slow,scripting request_policy:all_nodes,response_policy:all_succeeded - scripting 2.6.0 Load the specified Lua script into the script cache.
select 2 loading,stale,fast 0,0,0 fast,connection - - connection 1.0.0 Change the selected database for the current connection
set -3 write,denyoom 1,1,1 write,string,slow - RW+access+update+variable_flags@1:range,0,1,0 string 1.0.0 Set the string value of a key
setex 4 write,denyoom 1,1,1 write,string,slow - OW+update@1:range,0,1,0 string 2.0.0 Set the value and expiration of a key
setnx 3 write,denyoom,fast 1,1,1 write,string,fast - OW+insert@1:range,0,1,0 string 1.0.0 Set the value of a key, only if the key does not exist
setrange 4 write,denyoom 1,1,1 write,string,slow - RW+update@1:range,0,1,0 string 2.2.0 Overwrite part of a string at key starting at the specified offset
slowlog -2 - 0,0,0 slow - - server 2.2.12 A container for slow log commands
slowlog|get -2 admin,loading,stale 0,0,0 admin,slow,dangerous request_policy:all_nodes,nondeterministic_output - server 2.2.12 Get the slow log's entries
slowlog|len 2 admin,loading,stale 0,0,0 admin,slow,dangerous request_policy:all_nodes,response_policy:agg_sum,nondeterministic_output - server 2.2.12 Get the slow log's length
slowlog|reset 2 admin,loading,stale 0,0,0 admin,slow,dangerous request_policy:all_nodes,response_policy:all_succeeded - server 2.2.12 Clear all entries from the slow log
spublish 3 pubsub,loading,stale,fast 1,1,1 pubsub,fast - not_key@1:range,0,1,0 pubsub 7.0.0 Post a message to a shard channel
ssubscribe -2 pubsub,noscript,loading,stale 1,-1,1 pubsub,slow - not_key@1:range,-1,1,0 pubsub 7.0.0 Listen for messages published to the given shard channels
strlen 2 readonly,fast 1,1,1 read,string,fast - RO@1:range,0,1,0 string 2.2.0 Get the length of the value stored in a key
subscribe -2 pubsub,noscript,loading,stale 0,0,0 pubsub,slow - - pubsub 2.0.0 Listen for messages published to the given channels
substr 4 readonly 1,1,1 read,string,slow - RO+access@1:range,0,1,0 string 1.0.0 Get a substring of the string stored at a key
sunsubscribe -1 pubsub,noscript,loading,stale 1,-1,1 pubsub,slow - not_key@1:range,-1,1,0 pubsub 7.0.0 Stop listening for messages posted to the given shard channels
swapdb 3 write,fast 0,0,0 keyspace,write,fast,dangerous - - server 4.0.0 Swaps two Redis databases
time 1 loading,stale,fast 0,0,0 fast nondeterministic_output - server 2.6.0 Return the current server time
touch -2 readonly,fast 1,-1,1 keyspace,read,fast request_policy:multi_shard,response_policy:agg_sum RO@1:range,-1,1,0 generic 3.2.1 Alters the last access time of a key(s). Returns the number of existing keys specified.
ttl 2 readonly,fast 1,1,1 keyspace,read,fast nondeterministic_output RO+access@1:range,0,1,0 generic 1.0.0 Get the time to live for a key in seconds
type 2 readonly,fast 1,1,1 keyspace,read,fast - RO@1:range,0,1,0 generic 1.0.0 Determine the type stored at key
unlink -2 write,fast 1,-1,1 keyspace,write,fast request_policy:multi_shard,response_policy:agg_sum RM+delete@1:range,-1,1,0 generic 4.0.0 Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.
unsubscribe -1 pubsub,noscript,loading,stale 0,0,0 pubsub,slow - - pubsub 2.0.0 Stop listening for messages posted to the given channels
unwatch 1 noscript,loading,stale,fast,allow_busy 0,0,0 fast,transaction - - transactions 2.2.0 Forget about all watched keys
wait 3 noscript 0,0,0 slow,connection request_policy:all_shards,response_policy:agg_min - generic 3.0.0 Wait for the synchronous replication of all the write commands sent in the context of the current connection
watch -2 noscript,loading,stale,fast,allow_busy 1,-1,1 fast,transaction - RO@1:range,-1,1,0 transactions 2.2.0 Watch the given keys to determine execution of the MULTI/EXEC block
`;
