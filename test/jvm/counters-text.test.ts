import { describe, expect, it } from '@jest/globals';
import { countersText } from '../../lib/jvm/counters-text.ts';

describe('countersText', () => {
  it('shows numbers, versions and collectors, and nothing of the command line', () => {
    const text = countersText(
      new Map<string, number | string>([
        ['sun.gc.collector.0.invocations', 3],
        ['sun.gc.collector.0.name', 'Copy'],
        ['java.property.java.version', '17.0.15'],
        ['java.property.java.vm.name', 'OpenJDK 64-Bit Server VM'],
        ['sun.rt.javaCommand', 'Main --password=hunter2'],
        ['java.rt.vmArgs', '-Dpassword=hunter2'],
        ['java.property.java.class.path', '/opt/hunter2'],
        ['sun.property.sun.boot.library.path', '/opt/hunter2'],
      ]),
    );

    expect(text).toBe(
      [
        'java.property.java.version 17.0.15',
        'java.property.java.vm.name OpenJDK 64-Bit Server VM',
        'sun.gc.collector.0.invocations 3',
        'sun.gc.collector.0.name Copy\n',
      ].join('\n'),
    );
  });

  it('keeps to one line a counter, whatever stands in it', () => {
    expect(countersText(new Map([['sun.gc.cause', 'a\nb\u0000']]))).toBe('sun.gc.cause a b \n');
  });
});
