import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Words in a string, a template or a sum of them; codicons and punctuation are none. */
const WORDS = [
  'Literal[value=/^(?!\\$\\([\\w~-]+\\)$).*[A-Za-z]{2}/]',
  'TemplateLiteral:has(TemplateElement[value.raw=/[A-Za-z]{2}/])',
];
const SHOWN = 'title|label|tooltip|placeHolder|placeholder|prompt|detail|description|message|accessibilityInformation';
/** Where people read what stands there. */
const PLACES = [
  'CallExpression[callee.property.name=/^(show(Information|Warning|Error)Message|setStatusBarMessage)$/] >',
  'CallExpression[callee.property.name="report"] > ObjectExpression > Property[key.name="message"] >',
  `Property[key.name=/^(${SHOWN})$/] >`,
  `AssignmentExpression[left.property.name=/^(${SHOWN})$/] >`,
  'NewExpression[callee.name="Error"] >',
];
const CHOICES = ':matches(LogicalExpression, ConditionalExpression, BinaryExpression[operator="+"]) >';
const LOCALISED = PLACES.flatMap((place) => [place, `${place} ${CHOICES}`])
  .flatMap((place) => WORDS.map((words) => `${place} ${words}`))
  .map((selector) => ({
    selector,
    message: 'What people read goes through vscode.l10n.t.',
  }));

export default tseslint.config(
  { ignores: ['dist/**', 'dist-test/**', 'media/**/*.js'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: { projectService: { allowDefaultProject: ['*.mjs'] }, tsconfigRootDir: import.meta.dirname },
    },
  },
  {
    rules: {
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
      'max-lines': ['error', 500],
      'max-lines-per-function': ['error', 60],
    },
  },
  {
    // What the tests run without an editor: rules and words, no side effects.
    files: ['src/model/**', 'src/protocol.ts'],
    rules: { 'no-restricted-imports': ['error', { paths: [{ name: 'vscode', message: 'model/ is pure' }] }] },
  },
  { files: ['src/**'], rules: { 'no-restricted-syntax': ['error', ...LOCALISED] } },
  {
    files: ['*.mjs', 'test/**'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: { globals: { process: 'readonly', console: 'readonly' } },
  },
);
