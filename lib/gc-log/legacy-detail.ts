// Lines around the records of GC logs before JDK 9: known, and without anything that is counted. What is not listed here is
// shown as unparsed, so the list may be incomplete but never hides a line that nobody has seen.

/** Beginnings of such lines, without blanks and time stamps before them. */
const beginnings = [
  '- age',
  'Desired survivor size',
  // PrintHeapAtGC and the heap at exit
  '{Heap before',
  'Heap before',
  'Heap after',
  '}',
  'PSYoungGen',
  'PSOldGen',
  'PSPermGen',
  'ParOldGen',
  'par new generation',
  'def new generation',
  'tenured generation',
  'concurrent mark-sweep generation',
  'concurrent-mark-sweep perm gen',
  'compacting perm gen',
  'garbage-first heap',
  'region size',
  'eden space',
  'from space',
  'to   space',
  'to space',
  'the space',
  'object space',
  'data space',
  'ro space',
  'rw space',
  'No shared spaces',
  'Metaspace',
  'class space',
  // PrintGCApplicationStoppedTime, PrintGCApplicationConcurrentTime
  'Total time for which application threads were stopped',
  'Application time:',
  // the head of each file
  'CommandLine flags:',
  'Memory: ',
  '/proc/meminfo:',
  'Java HotSpot(TM)',
  'OpenJDK ',
  // PrintFLSStatistics and CMS
  'CMS: ',
  'Statistics for BinaryTreeDictionary',
  'Statistics for IndexedFreeLists',
  '--------------------------------',
  'Total Free Space:',
  'Max   Chunk Size:',
  'Number of Blocks:',
  'Av.  Block  Size:',
  'Tree      Height:',
  'Before GC:',
  'After GC:',
  'Large block',
  // PrintAdaptiveSizePolicy
  'AdaptiveSizePolicy',
  'AdaptiveSizeStart',
  'AdaptiveSizeStop',
  'PSAdaptiveSizePolicy',
  'PS AdaptiveSizePolicy',
  'avg_survived_padded_avg',
  'GC overhead limit',
  'GC locker: ',
  // G1SummarizeRSetStats and the details of JDK 6
  'Concurrent RS processed',
  'Concurrent refinement',
  'Max size region',
  'Static structures',
  'Conc RS threads',
  'Total heap region rem set',
  // its rotation
  'GC log file',
] as const;

/** Beginnings that count only behind blanks: their words are too common. */
const indentedBeginnings = ['Of ', 'Did ', 'Min:', 'Sum:', 'Avg:'] as const;

/** Of G1SummarizeRSetStats, behind a number. */
const rememberedSetWords = [
  'by mutator threads',
  'by conc RS threads',
  'occupied cards',
  'completed buffers',
];

/** Beginnings of groups that are a line of their own: `[Times: …]`, the phases of G1 and of concurrent collections. */
const groups = [
  '[Times:',
  '[CMS-concurrent-',
  '[ASCMS-concurrent-',
  '[Preclean ',
  '[GC concurrent-',
  '[G1Ergonomics',
  '[Eden:',
  '[Parallel Time',
  '[Other',
  '[Clear CT',
  '[Choose CSet',
  '[Free CSet',
  '[Ref ',
  '[Redirty',
  '[Humongous',
  '[Code Root',
  '[Update RS',
  '[Scan RS',
  '[Object Copy',
  '[Termination',
  '[GC Worker',
  '[Ext Root',
  '[SATB',
  '[Processed Buffers',
  '[Evacuation Failure',
  '[Recalculate Used',
  '[Remove Self',
  '[Restore',
  '[Complete CSet',
  '[Mark Stack',
  '[Concurrent ',
  '[Unloading',
  '[Weak',
] as const;

const byFirstLetter = new Map<string, string[]>();
for (const beginning of [...beginnings, ...groups]) {
  const letter = beginning.charAt(0) === '[' ? beginning.slice(0, 2) : beginning.charAt(0);
  byFirstLetter.set(letter, [...(byFirstLetter.get(letter) ?? []), beginning]);
}

/**
 * Whether a line is a known one that holds no event.
 * @param text the line behind blanks and time stamps; its first hundred characters are enough.
 * @param indented whether blanks stood before it: only details are indented.
 */
export function isLegacyDetail(text: string, indented: boolean): boolean {
  if (text === '' || text === 'Heap' || (indented && text.startsWith('['))) return true;
  // "2016-04-14 22:37:22 GC log file created …"
  if (text.startsWith('GC log file', 20)) return true;
  const letter = text.startsWith('[') ? text.slice(0, 2) : text.charAt(0);
  if (byFirstLetter.get(letter)?.some((beginning) => text.startsWith(beginning)) === true) {
    return true;
  }
  if (!indented) return false;
  // Addresses of a space of the heap, and tables of numbers.
  if (text.includes('[0x') || isTable(text)) return true;
  if (indentedBeginnings.some((beginning) => text.startsWith(beginning))) return true;
  return rememberedSetWords.some((words) => text.includes(words));
}

function isTable(text: string): boolean {
  for (let at = 0; at < text.length; at += 1) {
    if (!' 0123456789.,%()'.includes(text.charAt(at))) return text.charAt(0) <= '9' && at > 12;
  }
  return true;
}
