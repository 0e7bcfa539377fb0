/* The head row of a step, its parts, and the key that a visit gives them.
 *
 * A step of PARTS transactions in the target. Its first visit is rolled back, its second is to stay. Attempts whose
 * worker was given up go on for as long as they like: one may write after the rollback, or into the second visit.
 *
 * Mirrors saga_engine/ledger: heads.raise_token and .require_open (open_head, apply), heads.raise_undo_token and
 * .require_undoing (begin_undo, undo_part, finish_undo), parts.intend; and the names of tasks (domain/draft).
 * A part's transaction shares the head to its end, so nothing can come between its look at the head and its COMMIT:
 * here it is one atomic step.
 *
 * Variants that must fail:
 *   NO_HEAD        parts look at their own rows alone: the undo never heard of the part that comes after it
 *   NO_TOMBSTONE   an undo makes no head where there is none: a step that seemed not to have begun begins afterwards
 *   NO_TOKEN       the newest attempt is not compared: an older one writes beside it
 *   DELETES        the undo deletes what it finds instead of marking it
 *   LOOKS_BEFORE   the head is looked at before the part's transaction, not in it
 *   LISTS_BEFORE   the undo lists the parts before it closes the head
 *   SAME_KEY       a second visit has the key of the first: what is undone stays undone
 *   RESETS         the same, and the rows are deleted for it: a late attempt of the first visit counts as of the second
 */
#define PARTS 2
#define ATTEMPTS 2 /* of the undo, and of the second visit */
#ifndef FIRST
#define FIRST 2 /* of the first visit */
#endif
#define NONE 0
#define OPEN 1
#define UNDOING 2
#define UNDONE 3
#define APPLIED 1

#if defined(SAME_KEY) || defined(RESETS)
#define KEY(visit) 0
#else
#define KEY(visit) (visit - 1)
#endif
#define ROW(key, part) (2 * (key) + (part))

byte status[2], token[2], undo_token[2];
byte row[4];
byte effects[PARTS]; /* how often each part of the work stands in the target */
byte began[3];       /* the newest attempt of each visit that has opened the head */
bool recorded[3];    /* the engine has recorded the visit as done */
bool rolled_back = false, again = false;

#ifdef NO_HEAD
#define MAY_WRITE(key, mine) true
#else
#ifdef NO_TOKEN
#define MAY_WRITE(key, mine) (status[key] == OPEN)
#else
#define MAY_WRITE(key, mine) (status[key] == OPEN && token[key] == mine)
#endif
#endif

#if defined(NO_HEAD) || defined(LOOKS_BEFORE)
#define NEWEST(visit, mine) true /* each of these breaks it too; look at what comes of it */
#else
#define NEWEST(visit, mine) (began[visit] == mine)
#endif

proctype Forward(byte visit, mine) {
  byte key = KEY(visit), part = 0;
  atomic { /* open_head */
    if
    :: status[key] == NONE -> status[key] = OPEN; token[key] = mine
    :: status[key] == OPEN && token[key] < mine -> token[key] = mine
    :: else -> skip
    fi;
    if
    :: MAY_WRITE(key, mine) -> began[visit] = mine
    :: else -> goto superseded
    fi
  }
  do
  :: part < PARTS ->
#ifdef LOOKS_BEFORE
       if
       :: MAY_WRITE(key, mine) -> skip
       :: else -> goto superseded
       fi;
#endif
       atomic {
         if
#ifdef LOOKS_BEFORE
         :: true ->
#else
         :: MAY_WRITE(key, mine) ->
#endif
              if
              :: row[ROW(key, part)] == NONE ->
                   assert(NEWEST(visit, mine)); /* no attempt writes after a newer one has begun */
                   row[ROW(key, part)] = APPLIED; effects[part]++;
                   assert(effects[part] == 1)    /* nothing twice, and nothing of a visit that is over */
              :: else -> skip /* applied before: its result is read */
              fi
         :: else -> goto superseded
         fi
       };
       part++
  :: part == PARTS -> break
  od;
  recorded[visit] = true;
superseded: skip
}

inline close(key, mine) { /* begin_undo */
  atomic {
    if
#ifdef NO_TOMBSTONE
    :: status[key] == NONE -> skip
#else
    :: status[key] == NONE -> status[key] = UNDOING
#endif
    :: status[key] == OPEN -> status[key] = UNDOING
    :: else -> skip
    fi;
    if
    :: undo_token[key] < mine -> undo_token[key] = mine
    :: else -> skip /* a newer attempt of the undo was here */
    fi
  }
}

proctype Undo(byte mine) {
  byte key = KEY(1), part = PARTS;
  bool listed[PARTS];
#ifdef LISTS_BEFORE
  atomic { listed[0] = (row[ROW(key, 0)] == APPLIED); listed[1] = (row[ROW(key, 1)] == APPLIED) }
  close(key, mine);
#else
  close(key, mine);
  atomic { listed[0] = (row[ROW(key, 0)] == APPLIED); listed[1] = (row[ROW(key, 1)] == APPLIED) }
#endif
  do
  :: part > 0 ->
       part--;
       atomic { /* undo_part */
         if
         :: undo_token[key] != mine -> goto superseded
         :: undo_token[key] == mine && listed[part] && row[ROW(key, part)] == APPLIED ->
              effects[part]--;
#ifdef DELETES
              row[ROW(key, part)] = NONE
#else
              row[ROW(key, part)] = UNDONE
#endif
         :: else -> skip
         fi
       }
  :: part == 0 -> break
  od;
  atomic { /* finish_undo, and the engine records it */
    if
    :: undo_token[key] == mine ->
#ifdef DELETES
         status[key] = NONE;
#else
         if
         :: status[key] == UNDOING -> status[key] = UNDONE
         :: else -> skip
         fi;
#endif
         rolled_back = true;
         assert(again || (effects[0] == 0 && effects[1] == 0)) /* recorded as undone: nothing is left */
    :: else -> skip
    fi
  };
superseded: skip
}

proctype Engine() {
  byte n = 1;
  /* The first visit: attempt after attempt is begun, and given up at whatever moment; then it fails for good. */
  do
  :: n <= FIRST -> run Forward(1, n); n++
  :: n > 1 -> break
  od;
  n = 1;
  do
  :: n <= ATTEMPTS && !rolled_back -> run Undo(n); n++
  :: rolled_back -> break
  od;
  again = true;
#ifdef RESETS
  atomic { status[0] = NONE; token[0] = 0; undo_token[0] = 0; row[0] = NONE; row[1] = NONE }
#endif
  n = 1;
  do
  :: n <= ATTEMPTS && !recorded[2] -> run Forward(2, n); n++
  :: recorded[2] -> break
  od
}

init {
  run Engine();
  _nr_pr == 1;
  assert(effects[0] == 1 && effects[1] == 1) /* the second visit's work, once, and nothing of the first */
}
